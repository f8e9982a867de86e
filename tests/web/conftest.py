"""Servers over real repositories: the program itself in a process, and its routes in this one."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from werkzeug.test import Client, TestResponse

from git_deployments.repository import Repository
from git_deployments.web.gate import Gate
from git_deployments.web.server import application
from git_deployments.web.site import Site
from tests.conftest import SEALED, Project

SCRIPT = str(Path(sys.executable).with_name("git-deployments"))


def environment(home: Path) -> dict[str, str]:
    """What a server's process sees."""
    return {**SEALED, "PATH": os.environ["PATH"], "HOME": str(home)}


class Answer(NamedTuple):
    """What a server answered."""

    status: int
    headers: http.client.HTTPMessage
    body: str


class Served(NamedTuple):
    """A running server."""

    address: str
    """With its token."""
    port: int
    process: subprocess.Popen[str]

    @property
    def base(self) -> str:
        """Without the token."""
        return self.address.partition("?")[0]

    def ask(self, method: str, path: str, body: str | None = None, **headers: str | None) -> Answer:
        """One request with exactly these headers (`_` is `-`; None leaves one out)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(connection):
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            sent = {"Host": f"127.0.0.1:{self.port}", **{key.replace("_", "-"): one for key, one in headers.items()}}
            if body is not None:
                sent["Content-Length"] = str(len(body.encode()))
                sent.setdefault("Content-Type", "application/x-www-form-urlencoded")
            for key, value in sent.items():
                if value is not None:
                    connection.putheader(key, value)
            connection.endheaders(body.encode() if body is not None else None)
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read().decode())

    def enter(self) -> str:
        """Exchange the token for the cookie; the cookie as a browser sends it."""
        answer = self.ask("GET", self.address.removeprefix(f"http://127.0.0.1:{self.port}"))
        assert answer.status == 303, answer
        return (answer.headers["Set-Cookie"] or "").partition(";")[0]


@contextlib.contextmanager
def served(path: Path, *options: str, **variables: str) -> Iterator[Served]:
    """`git deployments web` over a repository, as its own process; ended by ^C."""
    command = [SCRIPT, "web", "--no-browser", *options]
    surroundings = {**environment(path.parent), **variables}
    process = subprocess.Popen(
        command, cwd=path, env=surroundings, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert address, process.communicate()[1]
        yield Served(address, int(address.partition("127.0.0.1:")[2].partition("/")[0]), process)
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)


class Visit:
    """The pages of a repository as a browser with the cookie gets them, without a socket between."""

    def __init__(self, project: Project, read_only: bool = False, exported: str = "") -> None:
        self.project = project
        gate = Gate(8000)
        opener = lambda: Repository(str(project.path), dict(os.environ))  # noqa: E731
        app = application(opener, Site("project", read_only, exported), gate)
        self.client = Client(app)
        self.base = "http://127.0.0.1:8000"
        assert self.client.get(f"/?token={gate.token}", base_url=self.base).status_code == 303

    def get(self, path: str, status: int = 200) -> str:
        """The body of a page."""
        answer = self.client.get(path, base_url=self.base)
        assert answer.status_code == status, answer.text
        return answer.text

    def post(self, path: str, **form: str) -> TestResponse:
        """Send a form as a page of ours does."""
        return self.client.post(path, data=form, base_url=self.base, headers={"Origin": self.base})

    def form(self, path: str) -> dict[str, str]:
        """The hidden fields of the form on a page."""
        page = self.get(path)
        return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page))


@pytest.fixture
def visit(versions: Project) -> Visit:
    """The pages over three versions of etl/prod."""
    return Visit(versions)


Make = Callable[[Project], Visit]
PROD = "/deployments/etl/prod/log/"


def plain(page: str) -> str:
    """The text of a page, as far as tests look at it: tags off, white space as one space."""
    words = re.sub(r"<[^>]*>", " ", re.sub(r"(?s)<head>.*?</head>", "", page))
    entities = {"&lt;": "<", "&gt;": ">", "&#34;": '"', "&#39;": "'", "&amp;": "&"}
    for entity, character in entities.items():
        words = words.replace(entity, character)
    return re.sub(r"\s+", " ", words)
