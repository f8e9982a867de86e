"""The pages over many deployments: how long they take, how large they are, what the server needs."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks import manifests
from tests.benchmarks.histories import Plan, history
from tests.benchmarks.sandbox import progress
from tests.benchmarks.table import Row, Target
from tests.web.conftest import Served, served

DEPLOYMENTS, VERSIONS = 1000, 100
REQUESTS = 10_000
PAUSE = 1000.0
"""Milliseconds between two looks of an open page (`pause` in page.js)."""
GROWTH = 1.2
"""What memory may grow by after the first tenth of the requests: the threads warm up, then it stays."""


def pages(scratch: Path) -> Iterator[Row]:
    """The first page, a deployment's page, and the memory of the server over many requests."""
    names = tuple(map(manifests.name, range(DEPLOYMENTS)))
    sandbox = history(scratch / "pages", Plan(VERSIONS, names, manifests.files(DEPLOYMENTS)))
    shown = f"({DEPLOYMENTS:,} × {VERSIONS} versions)"
    deployment = f"/deployments/{names[DEPLOYMENTS // 2]}/log/"
    with served(sandbox.path) as server:
        cookie = server.enter()
        for what, path, target in (("web, all", "/", 1000.0), ("web, one", deployment, 300.0)):
            asked = [_get(server, cookie, path) for _ in range(11)]
            yield Row(f"{what} {shown}", "", tuple(spent * 1000 for spent, _ in asked), "ms", Target(target))
            if path == "/":
                kilobytes = tuple(size / 1000 for _, size in asked)
                yield Row("web, all: size as sent, kB", "", kilobytes, "", Target(300.0))
        looks = [_get(server, cookie, "/state")[0] + _get(server, cookie, "/")[0] for _ in range(11)]
        followed = tuple(PAUSE + spent * 1000 for spent in looks)
        yield Row("web, all: a move elsewhere shows after", "", followed, "ms", Target(2000.0), "pause, look, page")
        yield from _memory(server, cookie, deployment)


def _memory(server: Served, cookie: str, deployment: str) -> Iterator[Row]:
    """After a tenth of the requests against after all of them."""
    memory = []
    for n in range(1, REQUESTS + 1):
        _get(server, cookie, deployment if n % 10 == 0 else "/assets/style.css" if n % 10 == 1 else "/state")
        if n in (REQUESTS // 10, REQUESTS):
            progress(f"{n:,} of {REQUESTS:,} requests")
            memory.append(_resident(server.process.pid))
    note = f"{memory[1]:.0f} / {memory[0]:.0f} MB"
    yield Row(
        f"web: memory after {REQUESTS:,} requests", "after a tenth", (memory[1] / memory[0],), "×", Target(GROWTH), note
    )


def _get(server: Served, cookie: str, path: str) -> tuple[float, int]:
    """Seconds until all of it is here, and how many bytes were sent."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    start = time.perf_counter()
    connection.request("GET", path, headers={"Cookie": cookie, "Accept-Encoding": "gzip"})
    answer = connection.getresponse()
    body = answer.read()
    spent = time.perf_counter() - start
    connection.close()
    assert answer.status == 200, (path, answer.status)
    return spent, len(body)


def _resident(pid: int) -> float:
    """Memory of a process, MB (Linux)."""
    words = Path(f"/proc/{pid}/status").read_text().split()
    return int(words[words.index("VmRSS:") + 1]) / 1024
