"""Who may ask what, by raw HTTP against the program itself."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Project, prepared, three_versions
from tests.web.conftest import PROD, SCRIPT, Served, environment, served

MOVE = f"{PROD}move"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Three versions of etl/prod. Tests of this module leave it as it is, but for those that move."""
    path = tmp_path_factory.mktemp("guarded") / "repository"
    prepared(path, three_versions, tmp_path_factory.getbasetemp())
    return Project(path)


@pytest.fixture(scope="module")
def server(project: Project) -> Iterator[Served]:
    with served(project.path) as running:
        yield running


@pytest.fixture(scope="module")
def cookie(server: Served) -> str:
    return server.enter()


def origin(server: Served) -> str:
    return f"http://127.0.0.1:{server.port}"


# Where it listens


def test_it_listens_on_the_loopback_address_alone(server: Served) -> None:
    listening = Path("/proc/net/tcp")
    if not listening.exists():
        pytest.skip("there is no /proc/net/tcp to look at")
    port = f":{server.port:04X}"
    rows = [line.split() for file in ("tcp", "tcp6") for line in Path(f"/proc/net/{file}").read_text().splitlines()[1:]]
    assert {row[1] for row in rows if row[1].endswith(port) and row[3] == "0A"} == {f"0100007F{port}"}


def test_a_port_that_is_taken_is_an_error_of_one_line(server: Served, project: Project) -> None:
    line = project.fatal("web", "--no-browser", "--port", str(server.port))
    assert str(server.port) in line
    assert "--port" in line


def test_an_interrupt_ends_it_without_a_word(project: Project) -> None:
    with served(project.path) as running:
        running.process.send_signal(signal.SIGINT)
        out, err = running.process.communicate(timeout=20)
        assert running.process.returncode == 0
        assert "Traceback" not in out + err


# Token and cookie


def test_without_the_cookie_nothing_is_shown(server: Served) -> None:
    for path in (
        "/",
        PROD,
        MOVE,
        "/state",
        "/server",
        f"{PROD}server",
        "/deployments/etl/prod/versions/1.json",
        "/nothing",
    ):
        answer = server.ask("GET", path)
        assert answer.status == 403, path
        assert "etl" not in answer.body.replace(f"{PROD}", "")
    assert server.ask("GET", "/", Cookie=f"git-deployments-{server.port}=guess").status == 403
    assert server.ask("POST", MOVE, "to=number:1&expect=number:3", Origin=origin(server)).status == 403


def test_the_token_opens_once_and_the_cookie_is_for_this_browser_alone(project: Project) -> None:
    with served(project.path) as running:
        path = "/" + running.address.rpartition("/")[2]
        first = running.ask("GET", path)
        assert first.status == 303
        assert first.headers["Location"] == "./"
        attributes = {part.strip().lower() for part in (first.headers["Set-Cookie"] or "").split(";")[1:]}
        assert {"httponly", "samesite=strict", "path=/"} <= attributes
        assert not any(part.startswith(("domain", "expires", "max-age")) for part in attributes)
        token = path.partition("=")[2]
        assert token not in (first.headers["Set-Cookie"] or "")
        again = running.ask("GET", path)
        assert again.status == 403
        assert again.headers["Set-Cookie"] is None
        assert running.ask("GET", "/?token=guess").status == 403


def test_a_browser_that_is_in_already_may_open_the_address_again(server: Served, cookie: str) -> None:
    again = server.ask("GET", "/" + server.address.rpartition("/")[2], Cookie=cookie)
    assert again.status == 303


def test_with_the_cookie_pages_are_shown(server: Served, cookie: str) -> None:
    assert "etl/prod" in server.ask("GET", "/", Cookie=cookie).body
    assert server.ask("GET", PROD, Cookie=cookie).status == 200


# Host, origin, Sec-Fetch-Site


def test_a_request_to_another_host_is_refused(server: Served, cookie: str) -> None:
    port = server.port
    for host in ("evil.example", f"evil.example:{port}", f"127.0.0.1:{port + 1}", "127.0.0.1", f"[::1]:{port}", ""):
        assert server.ask("GET", "/", Host=host, Cookie=cookie).status == 403, host
    assert server.ask("GET", "/", Host=None, Cookie=cookie).status in (400, 403)
    assert server.ask("GET", "/", Host=f"localhost:{port}", Cookie=cookie).status == 200
    assert server.ask("GET", "/assets/style.css", Host="evil.example").status == 403


def test_a_request_that_a_page_of_another_origin_caused_is_refused(
    server: Served, cookie: str, project: Project
) -> None:
    before = project.refs()
    port = server.port
    form = "to=number:1&expect=number:3"
    for other in ("http://evil.example", f"http://localhost:{port}", f"https://127.0.0.1:{port}", "null", ""):
        assert server.ask("POST", MOVE, form, Origin=other, Cookie=cookie).status == 403, other
        assert server.ask("GET", "/", Origin=other, Cookie=cookie).status == 403, other
    assert server.ask("POST", MOVE, form, Cookie=cookie).status == 403
    assert project.refs() == before


def test_sec_fetch_site_must_be_ours(server: Served, cookie: str, project: Project) -> None:
    before = project.refs()
    form, own = "to=number:1&expect=number:3", origin(server)
    for site in ("cross-site", "same-site"):
        assert server.ask("GET", "/", Sec_Fetch_Site=site, Cookie=cookie).status == 403
        assert server.ask("POST", MOVE, form, Origin=own, Sec_Fetch_Site=site, Cookie=cookie).status == 403
    assert server.ask("POST", MOVE, form, Origin=own, Sec_Fetch_Site="none", Cookie=cookie).status == 403
    assert server.ask("GET", "/", Sec_Fetch_Site="none", Cookie=cookie).status == 200
    assert server.ask("GET", "/", Sec_Fetch_Site="same-origin", Cookie=cookie).status == 200
    assert project.refs() == before


# What every answer says


def test_every_answer_forbids_all_that_is_not_ours(server: Served, cookie: str) -> None:
    paths = ("/", PROD, MOVE, "/state", "/assets/page.js", "/deployments/etl/prod/versions/1.json", "/nothing", "/../x")
    for path in paths:
        for given in (cookie, None):
            headers = server.ask("GET", path, Cookie=given).headers
            policy = dict(rule.split(" ", 1) for rule in (headers["Content-Security-Policy"] or "").split("; "))
            assert policy["default-src"] == "'none'", path
            assert policy["script-src"] == policy["style-src"] == policy["form-action"] == "'self'"
            assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
            assert "unsafe" not in str(policy)
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Referrer-Policy"] == "same-origin"
            assert headers["X-Frame-Options"] == "DENY"
            assert headers["Cross-Origin-Resource-Policy"] == headers["Cross-Origin-Opener-Policy"] == "same-origin"
            assert "no-" in (headers["Cache-Control"] or "")
            assert headers["Access-Control-Allow-Origin"] is None


def test_pages_have_no_script_and_no_style_of_their_own(server: Served, cookie: str) -> None:
    pages = ["/", PROD, MOVE, "/deployments/etl/prod/versions/2", "/deployments/etl/prod/versions/1..3", "/nothing"]
    for path in pages:
        body = server.ask("GET", path, Cookie=cookie).body
        scripts = re.findall(r"<script([^>]*)>", body)
        assert scripts
        assert all("src=" in one or 'type="application/json"' in one for one in scripts)
        assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", body)
        assert not re.search(r'(?:src|href)="(?:https?:)?//(?!127)', body), "something is loaded from elsewhere"


# What may be asked


def test_no_get_moves_anything(server: Served, cookie: str, project: Project) -> None:
    before = project.refs()
    seen, waiting = set(), ["/", PROD]
    while waiting:
        path = waiting.pop()
        seen.add(path)
        answer = server.ask("GET", path, Cookie=cookie)
        if answer.status == 303:
            continue
        assert answer.status == 200, path
        for link in re.findall(r'(?:href|action)="([^"#]+)"', answer.body):
            target = os.path.normpath(f"{path.rpartition('/')[0]}/{link.partition('?')[0]}")
            target += "/" if link.partition("?")[0].endswith("/") else ""
            target = target.replace("//", "/")
            if target not in seen | set(waiting) and "://" not in link and not target.endswith(("publish", "fetch")):
                waiting.append(target + ("?a=number:1&b=number:2" if target.endswith("versions/") else ""))
    assert len(seen) > 12
    query = "?to=number:1&expect=number:3&reason=x&push=on"
    assert server.ask("GET", MOVE + query, Cookie=cookie).status == 200
    for path in ("publish", "fetch"):
        assert server.ask("GET", f"{PROD}{path}", Cookie=cookie).status == 405
    assert project.refs() == before


def test_other_methods_move_nothing(server: Served, cookie: str, project: Project) -> None:
    before = project.refs()
    form, own = "to=number:1&expect=number:3", origin(server)
    for method in ("PUT", "PATCH", "DELETE", "TRACE"):
        assert server.ask(method, MOVE, form, Origin=own, Cookie=cookie).status == 405, method
    for path in ("/", PROD, "/state", "/deployments/etl/prod/versions/1"):
        assert server.ask("POST", path, form, Origin=own, Cookie=cookie).status == 405, path
    assert project.refs() == before


def test_a_refused_method_is_answered_with_those_that_are_taken(server: Served, cookie: str) -> None:
    def allowed(method: str, path: str) -> set[str]:
        answer = server.ask(method, path, None if method == "GET" else "x=y", Origin=origin(server), Cookie=cookie)
        assert answer.status == 405, path
        return set((answer.headers["Allow"] or "").split(", "))

    for path in ("publish", "fetch"):
        assert "POST" in allowed("GET", f"{PROD}{path}")
        assert "GET" not in allowed("GET", f"{PROD}{path}")
    assert {"GET", "HEAD"} <= allowed("POST", PROD)
    assert "POST" not in allowed("POST", PROD)
    assert {"GET", "POST"} <= allowed("PUT", MOVE)


def test_read_only_offers_no_move_and_takes_none(project: Project) -> None:
    before = project.refs()
    with served(project.path, "--read-only") as running:
        entered = running.enter()
        for path in ("/", PROD, "/deployments/etl/prod/versions/1"):
            answer = running.ask("GET", path, Cookie=entered)
            assert answer.status == 200
            assert "Read-only" in answer.body
            assert "log/move" not in answer.body
            assert 'method="post"' not in answer.body
        assert 'data-move=""' in running.ask("GET", "/", Cookie=entered).body
        form, own = "to=number:1&expect=number:3", origin(running)
        for path in (MOVE, f"{PROD}publish", f"{PROD}fetch"):
            assert running.ask("POST", path, form, Origin=own, Cookie=entered).status == 404
            assert running.ask("GET", path, Cookie=entered).status == 404
    assert project.refs() == before


def test_a_request_that_is_too_large_or_malformed_is_refused(server: Served, cookie: str, project: Project) -> None:
    before = project.refs()
    form = "reason=" + "x" * 400_000
    assert server.ask("POST", MOVE, form, Origin=origin(server), Cookie=cookie).status == 413
    assert server.ask("GET", "/", Cookie=cookie, X="x" * 20_000).status == 431
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
        assert raw.recv(1000).split(b" ")[1] in (b"400", b"403")
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as raw:
        raw.sendall(b"\x16\x03\x01\x00\xff nonsense\r\n\r\n")
        assert raw.recv(1000).split(b" ")[1] == b"400"
    assert server.ask("GET", "/", Cookie=cookie).status == 200
    assert project.refs() == before


def test_no_path_leads_out_of_the_assets(server: Served, cookie: str) -> None:
    for path in ("/assets/../gate.py", "/assets/%2e%2e/gate.py", "/assets/..%2fgate.py", "/assets//etc/passwd"):
        assert server.ask("GET", path, Cookie=cookie).status in (403, 404), path


def test_the_command_without_its_packages_says_how_to_get_them(project: Project, tmp_path: Path) -> None:
    blocked = tmp_path / "flask.py"
    blocked.write_text("raise ModuleNotFoundError('No module named flask', name='flask')\n")
    seen = {**environment(tmp_path), "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([SCRIPT, "web"], cwd=project.path, env=seen, capture_output=True, text=True)
    assert done.returncode == 128
    assert done.stderr.startswith("fatal: ")
    assert "pip install 'git-deployments[web]'" in done.stderr
