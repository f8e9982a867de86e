"""The recipe of docs/hooks.md: a hub that applies what goes live to a Prefect server."""

from __future__ import annotations

import subprocess
from pathlib import Path

from ..recipes import follow
from .conftest import Served


def test_the_server_follows_each_push_to_the_hub(served: Served, name: str, tmp_path: Path) -> None:
    server = served.server
    server.pool("hook-pool")
    hub = Served(tmp_path / "hub.git")
    hub.server = server
    subprocess.run(["git", "init", "-q", "--bare", str(hub.path)], check=True)
    hub.ok("hook", "install")
    follow(hub, "apply", **{"http://prefect.example.com:4200/api": server.api})
    served.git("remote", "add", "origin", str(hub.path))
    flow, _, half = name.partition("/")
    for number in (1, 2):
        work = {"work_pool": {"name": "hook-pool"}, "entrypoint": f"{number}.py:flow", "parameter_openapi_schema": {}}
        served.manifest(f"d{number}", name=half, flow=flow, **work)
        served.commit("Change")
        served.git("push", "-q", "origin", "HEAD:main")
        served.ok("deploy", "--push")
        assert server.deployment(name)["entrypoint"] == f"{number}.py:flow"
    served.ok("rollback", name, "--push")
    assert server.deployment(name)["entrypoint"] == "1.py:flow"
    served.ok("delete", name, "-y", "--push")
    assert server.deployment(name)["entrypoint"] == "1.py:flow"
