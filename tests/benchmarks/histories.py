"""Long histories, made in seconds: the project's own codec writes the objects, its `Pack` and git store them.

Each version has its own configuration and its own event, as if deployed one after the other. Then
`git gc` runs, as it does for users now and then: objects and refs are packed, the commit-graph is
written. What comes out passes `git deployments fsck`, or the benchmark ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from git_deployments.codec import (
    GITLINK,
    SETTINGS_FILE,
    SNAPSHOT,
    TreeEntry,
    commit_bytes,
    event_message,
    tree_bytes,
    version_message,
)
from git_deployments.document import settings_document, snapshot
from git_deployments.git import RefChange
from git_deployments.model import SETTINGS, Event, Identity, Source, Version, VersionInfo
from git_deployments.objects import Objects, Pack
from git_deployments.record import sentence
from git_deployments.refs import live_ref, log_ref, version_ref
from git_deployments.repository import KEEP_REFS, Repository
from tests.benchmarks.sandbox import Sandbox, check, progress, repository

NAME = "etl/prod"
FILES = {
    "etl.py": "from prefect import flow\n\n\n@flow\ndef etl() -> None:\n    pass\n",
    "prefect.yaml": "deployments:\n- {name: prod, entrypoint: etl.py:etl, work_pool: {name: kubernetes}}\n",
}
_BLOCK = 10_000
"""Versions that go into one pack."""
_START = 1_750_000_000
"""When the first version was made; the others follow minute by minute."""


class Plan(NamedTuple):
    """What a repository is to hold."""

    versions: int
    """Of each deployment; the last one is live."""
    names: tuple[str, ...] = (NAME,)
    files: Mapping[str, str] = FILES
    keep: int = KEEP_REFS
    """The newest so many have refs; 0: all."""


def history(path: Path, plan: Plan) -> Sandbox:
    """A new repository with these deployments, packed and checked."""
    many = f"{len(plan.names):,} × " if len(plan.names) > 1 else ""
    progress(f"making {many}{plan.versions:,} versions, packing them with git gc, checking them with fsck")
    sandbox = repository(path, plan.files)
    sandbox.run("git", "config", "deployments.keepRefs", str(plan.keep))
    ours = Repository(str(path), sandbox.environment)
    ours.git.move_refs(_write(ours, plan, sandbox.environment["GITHUB_SHA"]))
    ours.close()
    sandbox.run("git", "gc", "-q")
    check(sandbox)
    return sandbox


def _write(ours: Repository, plan: Plan, code: str) -> list[RefChange]:
    """Write the objects of all versions and events; the refs that make them deployments."""
    objects = Pack(ours.git, ours.layout.hash)
    settings = _tree(objects, SETTINGS_FILE, settings_document(SETTINGS))
    changes = []
    for place, name in enumerate(plan.names):
        latest, log = None, None
        for number in range(1, plan.versions + 1):
            latest = _write_version(objects, name, latest, code)
            log = _write_event(objects, latest, log, settings)
            if plan.keep == 0 or number > plan.versions - plan.keep:
                changes.append(RefChange(version_ref(name, number), latest.commit, None))
            if (place * plan.versions + number) % _BLOCK == 0:
                objects.finish()
        changes.append(RefChange(live_ref(name), latest.commit if latest else None, None))
        changes.append(RefChange(log_ref(name), log, None))
    objects.finish()
    return changes


def _tree(objects: Objects, file: str, content: bytes, gitlink: str | None = None) -> str:
    entries = [TreeEntry("100644", file, objects.write("blob", content))]
    if gitlink:
        entries.append(TreeEntry("160000", GITLINK, gitlink))
    return objects.write("tree", tree_bytes(entries))


def _write_version(objects: Objects, name: str, latest: Version | None, code: str) -> Version:
    number = latest.number + 1 if latest else 1
    content = snapshot(
        {
            "description": "Loads the orders for the reports of the morning",
            "entrypoint": "etl.py:etl",
            "job_variables": {"image": f"registry.example.com/etl:{number}"},
            "parameters": {"table": "orders", "batch": number},
            "tags": ["nightly", "team-a"],
            "work_pool_name": "kubernetes",
        }
    )
    info = VersionInfo("vcs:git", code[:8], code, "Start", "main")
    version = Version(
        name=name,
        number=number,
        label=None,
        commit="",
        parent=latest.commit if latest else None,
        tree=_tree(objects, SNAPSHOT, content, code),
        source=Source(info, code),
        author=_ada(number),
        message=f"Batch {number}",
    )
    parents = (version.parent,) if version.parent else ()
    data = commit_bytes(version.tree, parents, version.author, version.author, version_message(version))
    return version._replace(commit=objects.write("commit", data))


def _write_event(objects: Objects, version: Version, log: str | None, settings: str) -> str:
    event = Event(
        name=version.name,
        action="deploy",
        number=version.number,
        before=version.number - 1 or None,
        after=version.number,
        reason=version.message,
        commit="",
        previous=log,
        tree=settings,
        author=version.author,
        live_commit=version.commit,
        latest=version.number,
        latest_commit=version.commit,
        label=None,
        source=version.source.commit,
        paused=False,
        held=False,
    )
    parents = (log, version.commit) if log else (version.commit,)
    message = event_message(event, sentence(event))
    return objects.write("commit", commit_bytes(settings, parents, event.author, event.author, message))


def _ada(number: int) -> Identity:
    return Identity("Ada", "ada@example.com", _START + 60 * number, "+0000")
