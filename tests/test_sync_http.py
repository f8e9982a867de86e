"""Deployments over smart HTTP: `git http-backend` behind a small server on this machine, and servers that fail."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from base64 import b64encode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import cast

import pytest

from .conftest import Project, prepared

LIVE = "refs/deployments/etl/prod/live"
LOG = "refs/deployments/etl/prod/log"


class Server(ThreadingHTTPServer):
    """Repositories under one directory, served by git itself."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.root = root
        self.locked = False
        """Ask for a password."""
        self.opened_by = "ada:secret"
        """User and password."""
        self.dies_after: dict[str, int] = {}
        """Service (`git-receive-pack`, `git-upload-pack`) to the bytes of its answer that still get through."""
        self.deaf_to: str | None = None
        """Service whose request is cut in the middle."""
        self.requests: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Request(BaseHTTPRequestHandler):
    """One request, handed to `git http-backend` (git manual, git-http-backend)."""

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, *words: object) -> None:
        """Say nothing."""

    def _answer(self) -> None:
        server = cast("Server", self.server)
        server.requests.append(f"{self.command} {self.path}")
        self.close_connection = True
        told = f"Basic {b64encode(server.opened_by.encode()).decode()}"
        if server.locked and self.headers.get("Authorization") != told:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="hub"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if self.command == "POST" and server.deaf_to and self.path.endswith(server.deaf_to):
            self.rfile.read(10)
            return
        answer = self._backend(server.root)
        service = self.path.rpartition("/")[2]
        if self.command == "POST" and service in server.dies_after:
            answer = answer[: server.dies_after[service]]
        self.wfile.write(answer)

    def _backend(self, root: Path) -> bytes:
        path, _, query = self.path.partition("?")
        variables = {
            "GIT_PROJECT_ROOT": str(root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REMOTE_USER": "somebody",
        }
        body = self._body()
        words = ["git", "http-backend"]
        done = subprocess.run(words, input=body, capture_output=True, env={**os.environ, **variables})
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        status = next((line[8:] for line in lines if line.startswith(b"Status: ")), b"200 OK")
        plain = [line for line in lines if line and not line.startswith(b"Status: ")]
        plain.append(b"Content-Length: %d" % len(content))
        return b"HTTP/1.1 " + b"\r\n".join([status, *plain]) + b"\r\n\r\n" + content

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        return b"".join(chunks)


@contextlib.contextmanager
def serving(root: Path, kind: type[Server] = Server) -> Iterator[Server]:
    """A server on a free port while the block runs."""
    server = kind(root)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def bare(path: Path) -> Project:
    """An empty hub that takes pushes over HTTP."""
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(path)], check=True)
    hub = Project(path)
    hub.git("config", "http.receivepack", "true")
    return hub


def publish(path: Path) -> None:
    path.mkdir()
    bare(path / "hub.git")
    ada = clone(path, f"{path}/hub.git", "ada")
    ada.commit("Start", code="1\n")
    ada.git("push", "-q", "origin", "HEAD:main")
    for number in (1, 2, 3):
        ada.deploy(f"d{number}")
    ada.ok("push")
    clone(path, f"{path}/hub.git", "bob").ok("pull")


def clone(path: Path, url: str, name: str) -> Project:
    subprocess.run(["git", "clone", "-q", url, str(path / name)], check=True, capture_output=True)
    made = Project(path / name)
    made.git("config", "user.name", name.capitalize())
    return made


class Web:
    """A hub behind HTTP and the clones of Ada and Bob, who know three published versions."""

    def __init__(self, path: Path, server: Server) -> None:
        prepared(path, publish)
        self.path, self.server = path, server
        self.url = f"{server.url}/hub.git"
        self.hub, self.ada, self.bob = (Project(path / name) for name in ("hub.git", "ada", "bob"))
        for one in (self.ada, self.bob):
            one.git("remote", "set-url", "origin", self.url)

    def clone(self, name: str) -> Project:
        return clone(self.path, self.url, name)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    with serving(tmp_path) as server:
        yield Web(tmp_path, server)


def same(*projects: Project) -> bool:
    return all(project.refs() == projects[0].refs() for project in projects)


def everything(project: Project) -> str:
    """All refs, those that were last seen included."""
    return project.git("for-each-ref")


def test_deployments_travel_over_http(web: Web) -> None:
    assert same(web.hub, web.ada, web.bob)
    web.bob.ok("rollback", "prod", "--push")
    web.ada.ok("fetch")
    assert "behind: 1 event more at origin" in web.ada.ok("status").out
    web.ada.ok("pull")
    web.ada.deploy("d4")
    web.ada.ok("push")
    web.bob.ok("pull")
    assert same(web.hub, web.ada, web.bob)
    assert (web.hub.live(), web.hub.ok("fsck").out) == (4, "")
    assert {request.partition(" ")[0] for request in web.server.requests} == {"GET", "POST"}


def test_racing_writers_over_http_lose_nothing(web: Web) -> None:
    program = "import sys; from git_deployments.cli import run; sys.exit(max(run(sys.argv[1:]) for _ in range(3)))"
    clones = [web.clone(f"racer{number}") for number in range(3)]
    for clone in clones:
        clone.manifest(clone.path.name)
    words = [sys.executable, "-c", program, "deploy", "-q", "--push"]
    processes = [subprocess.Popen(words, cwd=clone.path) for clone in clones]
    assert [process.wait(120) for process in processes] == [0, 0, 0]
    web.ada.ok("pull")
    described = [web.ada.ok("show", "prod", str(number), "--key", "description").out.strip() for number in range(4, 13)]
    assert sorted(described) == [f"racer{number}" for number in (0, 0, 0, 1, 1, 1, 2, 2, 2)]
    assert web.ada.live() == 12
    assert (web.ada.ok("fsck").out, web.hub.ok("fsck").out) == ("", "")


# Refused


def test_a_refused_password_is_one_line_and_asks_nobody(web: Web) -> None:
    web.ada.deploy("d4")
    before = everything(web.ada), web.hub.refs()
    web.server.locked = True
    for command in (["fetch"], ["pull"], ["push"], ["rollback", "prod", "--push"]):
        assert "could not read Username" in web.ada.fatal(*command)
    web.ada.git("remote", "set-url", "origin", web.server.url.replace("//", "//ada:wrong@") + "/hub.git")
    for command in (["fetch"], ["push"]):
        line = web.ada.fatal(*command)
        assert "Authentication failed" in line
        assert "wrong" not in line
    assert (everything(web.ada), web.hub.refs()) == before
    web.ada.git("remote", "set-url", "origin", web.server.url.replace("//", "//ada:secret@") + "/hub.git")
    web.ada.ok("push")
    assert web.hub.live() == 4


def test_a_hub_that_takes_no_push_over_http(web: Web) -> None:
    web.hub.git("config", "http.receivepack", "false")
    web.ada.deploy("d4")
    before = everything(web.ada), web.hub.refs()
    assert "403" in web.ada.fatal("push")
    assert "403" in web.ada.fatal("rollback", "prod", "--push")
    assert (everything(web.ada), web.hub.refs()) == before


def test_a_repository_that_is_not_there(web: Web) -> None:
    web.ada.git("remote", "set-url", "origin", f"{web.server.url}/nowhere.git")
    for command in ("fetch", "pull", "push"):
        web.ada.deploy("d4") if command == "push" else None
        assert "not found" in web.ada.fatal(command)


# A server that dies


CUTS = (0, 150)
"""Bytes of the answer, its head included, after which the connection is closed."""


@pytest.mark.parametrize("cut", CUTS)
def test_a_server_that_dies_during_a_fetch(web: Web, cut: int) -> None:
    web.ada.deploy("d4", "--push")
    web.bob.deploy("bob's")
    before = everything(web.bob)
    web.server.dies_after["git-upload-pack"] = cut
    for command in (["fetch"], ["pull"], ["rollback", "prod", "--push"]):
        web.bob.fatal(*command)
    assert everything(web.bob) == before
    web.server.dies_after.clear()
    assert "etl/prod: v4 is now v5" in web.bob.ok("pull").out
    web.bob.ok("push")
    assert (web.hub.live(), web.hub.ok("fsck").out) == (5, "")


def test_a_server_that_dies_while_it_is_told_what_to_take(web: Web) -> None:
    web.ada.manifest("d4")
    before = everything(web.ada), web.hub.refs()
    web.server.deaf_to = "git-receive-pack"
    web.ada.fatal("rollback", "prod", "--push")
    assert web.ada.run("deploy", "--push").code == 128
    assert (everything(web.ada), web.hub.refs()) == before
    web.server.deaf_to = None
    web.ada.ok("deploy", "--push")
    assert (web.hub.live(), web.ada.live()) == (4, 4)


@pytest.mark.parametrize("cut", CUTS)
def test_a_server_that_dies_before_it_says_that_it_took_a_push(web: Web, cut: int) -> None:
    """It is published all the same, so the second try has nothing left to do."""
    web.ada.deploy("d4")
    before = everything(web.ada)
    web.server.dies_after["git-receive-pack"] = cut
    result = web.ada.run("push")
    web.server.dies_after.clear()
    assert web.hub.live() == 4
    if result.code:
        assert (result.code, len(result.err.splitlines())) == (128, 1), result
        assert "nothing was published" not in result.err
        assert everything(web.ada) == before
    web.ada.ok("push")
    assert same(web.hub, web.ada)
    web.bob.ok("pull")
    assert same(web.hub, web.bob)


@pytest.mark.parametrize("cut", CUTS)
def test_a_published_write_whose_answer_is_lost_is_not_made_twice(web: Web, cut: int) -> None:
    web.ada.manifest("d4", version="once")
    web.server.dies_after["git-receive-pack"] = cut
    first = web.ada.run("deploy", "--push")
    web.server.dies_after.clear()
    assert web.hub.live() == 4
    assert "Traceback" not in first.err
    if first.code:
        assert (first.code, len([line for line in first.err.splitlines() if line.startswith("fatal: ")])) == (128, 1)
    web.ada.ok("deploy", "--push", "--if-changed")
    assert (web.hub.live(), web.ada.live()) == (4, 4)
    assert same(web.hub, web.ada)


# Remotes that do not take everything


def test_a_hub_that_hides_the_refs(web: Web) -> None:
    web.hub.git("config", "receive.hideRefs", "refs/deployments")
    web.ada.deploy("d4")
    before = everything(web.ada), web.hub.refs()
    assert "origin did not take the push" in web.ada.fatal("push", code=1)
    assert (everything(web.ada), web.hub.refs()) == before
    web.hub.git("config", "--unset", "receive.hideRefs")
    web.hub.git("config", "transfer.hideRefs", "refs/deployments")
    web.hub.git("config", "uploadpack.hideRefs", "refs/deployments")
    assert "no longer at origin" in web.bob.ok("pull").err
    assert web.bob.live() == 3


def test_a_hub_that_refuses_one_of_several_refs_takes_none(web: Web) -> None:
    hook = web.hub.write("hooks/update", "#!/bin/sh\ncase $1 in */log) echo 'the log is closed'; exit 1;; esac\n")
    hook.chmod(0o755)
    web.ada.deploy("d4")
    before = everything(web.ada), web.hub.refs()
    assert "the log is closed" in web.ada.fatal("push", code=1)
    web.ada.fatal("rollback", "prod", "--push", code=1)
    assert (everything(web.ada), web.hub.refs()) == before


def test_a_hub_that_refuses_deletions_and_rewinds_of_branches_takes_deployments(web: Web) -> None:
    for key in ("receive.denyDeletes", "receive.denyNonFastForwards", "transfer.fsckObjects"):
        web.hub.git("config", key, "true")
    web.ada.ok("rollback", "prod", "--push")
    web.ada.ok("delete", "prod", "-y", "--push")
    assert set(web.hub.refs()) == {LOG}
    web.bob.ok("pull")
    assert same(web.hub, web.bob)


def test_a_refused_source_alone_is_a_warning(web: Web) -> None:
    hook = web.hub.write("hooks/update", "#!/bin/sh\ncase $1 in */sources/*) echo 'no code'; exit 1;; esac\n")
    hook.chmod(0o755)
    web.ada.git("checkout", "-q", "--detach")
    web.ada.commit("Detached", x="y")
    result = web.ada.deploy("d4", "--push")
    assert "did not take refs/deployments/etl/prod/sources/4" in result.err
    assert web.hub.live() == 4


def test_a_shallow_hub(web: Web) -> None:
    web.ada.commit("More", code="2\n")
    web.ada.git("push", "-q", "origin", "HEAD:main")
    shallow = web.path / "shallow.git"
    subprocess.run(["git", "clone", "-q", "--bare", "--depth=1", f"file://{web.hub.path}", str(shallow)], check=True)
    hub = Project(shallow)
    hub.git("config", "http.receivepack", "true")
    web.ada.git("remote", "add", "shallow", f"{web.server.url}/shallow.git")
    web.ada.ok("push", "shallow")
    assert same(web.ada, hub)
    web.ada.deploy("d4", "--push", "--remote", "shallow")
    assert (hub.live(), hub.ok("fsck").out.count("breach")) == (4, 0)
    other = web.clone("other")
    other.git("remote", "set-url", "origin", f"{web.server.url}/shallow.git")
    other.ok("pull")
    assert same(other, hub)
