"""The pages beside a real Prefect server: what differs there, and moves that are applied to it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.web import conftest as web

from .conftest import OURS, Served


def test_the_pages_tell_how_the_server_differs(served: Served, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "SCRIPT", str(OURS))
    flow, _, half = name.partition("/")
    for number in (1, 2):
        served.manifest(f"d{number}", name=half, flow=flow)
        served.commit(f"Change {number}")
        served.ok("deploy", "-q")
    served.ok("apply", name, "--create")
    served.git("config", "deployments.applyOnLive", "true")
    log = f"/deployments/{name}/log/"
    with web.served(served.path, **served.server.environment) as server:
        cookie = server.enter()

        def asked(path: str) -> Any:
            answer = server.ask("GET", path, Cookie=cookie)
            assert answer.status == 200, answer
            return json.loads(answer.body)

        assert asked(f"{log}server") == {"standing": "same", "words": "has what v2 says", "command": ""}
        served.server.change(served.server.deployment(name), description="by hand")
        found = asked(f"{log}server")
        assert found["standing"] == "differs"
        assert "description" in found["words"]
        assert found["command"] == f"git deployments diff {name} --server"
        assert asked("/server")["standings"] == {name: "differs"}
        # A move from the page is applied, as one from the command line is.
        form = dict(re.findall(r'name="(\w+)" value="([^"]*)">', server.ask("GET", f"{log}move", Cookie=cookie).body))
        body = f"to={form['to']}&expect={form['expect']}&reason=back"
        answer = server.ask("POST", f"{log}move", body, Origin=f"http://127.0.0.1:{server.port}", Cookie=cookie)
        assert answer.status == 303, answer.body
        assert served.server.deployment(name)["description"] == "d1"
        assert asked(f"{log}server")["standing"] == "same"
