"""docs/prefect.md, followed from its first command to its last, on a real server."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from ..test_documents import BLOCK, masked, text
from .conftest import ROOT, Served

GUIDE = ROOT / "docs" / "prefect.md"
URL = "https://github.com/my-org/my-repo.git"


def follow(served: Served, hub: Path) -> tuple[str, list[str]]:
    """The document with what its commands print (standard output) today, and the commands that failed."""
    failed: list[str] = []
    # The repository of the document is one on this disk, for git wherever it is started.
    elsewhere = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": f"url.{hub}.insteadOf", "GIT_CONFIG_VALUE_0": URL}

    def run(command: str) -> str:
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=served.path,
            env={**served.server.environment, **elsewhere},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=120,
        )
        if done.returncode:
            failed.append(f"{command}: {done.stdout}{done.stderr}")
        return done.stdout

    def told(block: re.Match[str]) -> str:
        language, name, content = block.groups()
        if name:
            served.write(name.strip(), content)
            if not served.refs():
                served.git("add", "-A")
                served.git("commit", "-q", "--allow-empty", "-m", f"Add {name.strip()}")
                served.git("push", "-q", str(hub), "main")
        elif language == "sh":
            run(content)
        else:
            commands = re.findall(r"^\$ .*$", content, re.MULTILINE)
            content = "".join(f"{command}\n{run(command[2:])}" for command in commands)
        return f"```{language}{name}\n{content}```"

    return BLOCK.sub(told, text(GUIDE)), failed


def test_following_the_guide_prints_what_it_says(served: Served, tmp_path: Path) -> None:
    hub = tmp_path / "hub.git"
    served.git("init", "-q", "--bare", "-b", "main", str(hub))
    served.git("remote", "add", "origin", URL)
    printed, failed = follow(served, hub)
    (tmp_path / "prefect.md").write_text(printed, encoding="utf-8")
    assert not failed
    assert len(re.findall(r"^\$ ", printed, re.MULTILINE)) > 10
    assert masked(printed).splitlines() == masked(text(GUIDE)).splitlines(), f"{tmp_path / 'prefect.md'} has it anew"
