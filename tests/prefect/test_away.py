"""What goes wrong with a server ends in one line, and changes nothing there or here."""

from __future__ import annotations

import http.server
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import VENV, Served, free_port, serving
from .test_apply import deploy

VERBS = [("apply",), ("diff", "--server"), ("status", "--server"), ("capture",)]


def refused(served: Served, name: str, verb: tuple[str, ...], **environment: str) -> str:
    """The one line with which a command fails."""
    command, *options = verb
    return served.fatal(command, name, *options, code=128, **environment)


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_a_server_that_is_away(served: Served, name: str, verb: tuple[str, ...]) -> None:
    deploy(served, name)
    url = f"http://127.0.0.1:{free_port()}/api"
    line = refused(served, name, verb, PREFECT_API_URL=url)
    assert line == f"fatal: no Prefect server answers at {url}; start it, or set PREFECT_API_URL to where it is"


def test_no_server_is_named(served: Served, name: str, tmp_path: Path) -> None:
    """Prefect's client would start a server of its own, and apply to that."""
    deploy(served, name)
    line = refused(served, name, ("apply",), PREFECT_API_URL="", PREFECT_HOME=str(tmp_path / "home"))
    assert "no Prefect server is named; set PREFECT_API_URL" in line


@pytest.mark.parametrize("path", ["/wrong", "", "/api/wrong"])
def test_a_wrong_url(served: Served, name: str, path: str) -> None:
    deploy(served, name)
    url = served.server.api.removesuffix("/api") + path
    line = refused(served, name, ("apply",), PREFECT_API_URL=url)
    assert url in line
    assert "PREFECT_API_URL" in line


@pytest.mark.parametrize("url", ["nonsense", "ftp://127.0.0.1/api", "http://user:not-to-be-seen@127.0.0.1:9/api"])
def test_what_is_no_url_or_holds_a_password(served: Served, name: str, url: str) -> None:
    deploy(served, name)
    assert "not-to-be-seen" not in refused(served, name, ("apply",), PREFECT_API_URL=url)


class Old(http.server.BaseHTTPRequestHandler):
    """Answers as a server of another version does, and fails whatever else it is asked."""

    version = "2.20.0"

    def do_GET(self) -> None:
        known = self.path.endswith("/admin/version")
        body = json.dumps(self.version if known else {"detail": "it broke"}).encode()
        self.send_response(200 if known else 500)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *words: object) -> None:  # noqa: A002
        del format, words


@pytest.fixture
def old() -> Iterator[str]:
    """The URL of something that says that it is a Prefect server."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Old) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}/api"
        running.shutdown()


@pytest.mark.parametrize(
    ("version", "said"), [("2.20.0", "2.20.0"), ("3.1.0", "3.1.0"), ("4.0.0", "4.0.0"), ("?", "?")]
)
def test_a_server_of_another_version(
    served: Served, name: str, old: str, version: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Old, "version", version)
    deploy(served, name)
    line = refused(served, name, ("apply",), PREFECT_API_URL=old)
    assert f"is of version {said}, and 3.4 or a newer 3 is needed" in line


def test_a_server_that_breaks(served: Served, name: str, old: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Old, "version", "3.8.8")
    deploy(served, name)
    line = refused(served, name, ("apply",), PREFECT_API_URL=old, PREFECT_CLIENT_MAX_RETRIES="0")
    assert "500: it broke; see its log" in line


def test_permission_refused(served: Served, name: str, tmp_path: Path) -> None:
    deploy(served, name)
    access = "admin:not-to-be-seen"
    with serving(tmp_path / "guarded", PREFECT_SERVER_API_AUTH_STRING=access) as guarded:
        line = refused(served, name, ("apply", "--create"), PREFECT_API_URL=guarded.api)
        assert "refuses us (401); set PREFECT_API_AUTH_STRING or PREFECT_API_KEY" in line
        wrong = {"PREFECT_API_URL": guarded.api, "PREFECT_API_AUTH_STRING": "admin:wrong"}
        assert "refuses us (401)" in refused(served, name, ("apply", "--create"), **wrong)
        right = {"PREFECT_API_URL": guarded.api, "PREFECT_API_AUTH_STRING": access}
        assert "is created" in served.ok("apply", name, "--create", **right).out


def test_without_prefect_it_says_what_to_install(served: Served, name: str) -> None:
    """The project's own virtual environment has no Prefect."""
    deploy(served, name)

    script = Path(sys.executable).parent / "git-deployments"
    assert script.parent != VENV / "bin"
    done = subprocess.run(
        [script, "apply", name], cwd=served.path, env=served.server.environment, capture_output=True, text=True
    )
    assert done.returncode == 128
    assert done.stderr.startswith(
        "fatal: Prefect's client library is not installed beside git-deployments; pip install"
    )
    assert done.stderr.count("\n") == 1
