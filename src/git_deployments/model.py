"""The values that travel between the modules: frozen, typed, without behaviour of their own.

They are named tuples because a deployment is asked about at every prompt and in every hook: a
frozen dataclass costs six times as much at import. Annotations are no text in the modules that every
command loads (no `from __future__ import annotations`): with it each field of a named tuple is compiled
at import, which takes five times as long.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple, Union

Watch = Callable[[int, int], None]
"""Is told how far long work is: (done, of how many)."""


def unwatched(done: int, total: int) -> None:
    """A `Watch` for where nobody looks."""
    del done, total


Json = Union[None, bool, int, float, str, list["Json"], dict[str, "Json"]]
"""What a JSON document may hold."""


class Identity(NamedTuple):
    """Who did something and when, as git keeps it in a commit."""

    name: str
    email: str
    seconds: int
    """Since the epoch, UTC."""
    offset: str
    """The writer's offset from UTC, `+0200`."""

    @property
    def person(self) -> str:
        """`Name <email>`, the form of `created_by` and `updated_by`."""
        return f"{self.name} <{self.email}>"


class VersionInfo(NamedTuple):
    """Where a version comes from: Prefect's six fields and the name (design, "version_info")."""

    type: str
    """`vcs:github`, `vcs:gitlab`, `vcs:bitbucket`, `vcs:azuredevops`, `vcs:git` or `prefect:simple`."""
    version: str | None = None
    """The explicit name if there is one, else the first 8 digits of the commit."""
    commit_sha: str | None = None
    message: str | None = None
    """The first line of that commit's message."""
    branch: str | None = None
    repository: str | None = None
    url: str | None = None


class Run(NamedTuple):
    """The CI run that does a write; both None outside CI."""

    actor: str | None = None
    url: str | None = None


class Source(NamedTuple):
    """The code that a version runs: the exact commit, and what is known about it."""

    info: VersionInfo
    commit: str | None = None
    """Full id of the code commit, the gitlink; None where it is unknown."""
    directory: str = ""
    """Of the manifest, relative to the repository's root; empty for the root itself."""
    dirty: bool = False
    """Tracked files were changed when the version was made."""


class Version(NamedTuple):
    """One immutable version of a deployment, as read from its commit."""

    name: str
    """Full name of the deployment."""
    number: int
    label: str | None
    """The human name (`0.0.1`), None if unnamed. JSON and command line call it `version`."""
    commit: str
    parent: str | None
    """Commit of version `number - 1`."""
    tree: str
    source: Source
    author: Identity
    message: str
    """The text given with `-m`; empty if none."""
    run: Run = Run()


class Event(NamedTuple):
    """One entry of a deployment's log: what was done, and the state that it left."""

    name: str
    action: str
    """`deploy`, `update`, `promote`, `rollback`, `adopt` or `delete`."""
    number: int | None
    """Of the version that the event made or adopted."""
    before: int | None
    """The live version before it (`From`)."""
    after: int | None
    """The live version after it (`To`)."""
    reason: str
    """The text given with `-m`; empty if none."""
    commit: str
    previous: str | None
    """Commit of the event before this one."""
    tree: str
    author: Identity
    live_commit: str | None
    latest: int | None
    latest_commit: str | None
    label: str | None
    """Human name of the version that is live after it."""
    source: str | None
    """Code commit of the version that is live after it."""
    paused: bool
    held: bool
    run: Run = Run()


class Place(NamedTuple):
    """Where in which file something was said, for messages and for Source-Directory."""

    file: str
    """As the user would type it; `-` for standard input."""
    directory: str
    """Absolute directory that entrypoints are relative to."""
    line: int = 0
    """1 for the first; 0 if unknown."""


class Entry(NamedTuple):
    """One deployment of a manifest, checked and expanded, before its source is known.

    The flow's half of the name may still be None: it then comes from the entrypoint.
    """

    half: str
    """The deployment's own half of the name."""
    flow_name: str | None
    label: str | None
    """`version` of the entry, its text as written."""
    version_type: str | None
    properties: Mapping[str, Json]
    """Every key of `PROPERTIES`. `parameter_openapi_schema` is None where the entry gives none."""
    settings: Mapping[str, Json]
    """Only the keys of `SETTINGS` that the entry mentions."""
    place: Place
    warnings: tuple[str, ...] = ()


PROPERTIES: Mapping[str, Json] = {
    "description": None,
    "enforce_parameter_schema": True,
    "entrypoint": None,
    "job_variables": {},
    "labels": {},
    "parameter_openapi_schema": {},
    "parameters": {},
    "pull_steps": [],
    "tags": [],
    "work_pool_name": None,
    "work_queue_id": None,
    "work_queue_name": None,
}
"""The keys of `deployment.json` with what they hold where nothing was said.

Versioned too, but kept where they belong and not in the snapshot: `version`, `version_info`,
`created_by` and `updated_by` (trailers and authors of the commits)."""

SETTINGS: Mapping[str, Json] = {
    "concurrency_limit": None,
    "concurrency_options": None,
    "disabled": False,
    "is_schedule_active": None,
    "paused": False,
    "schedules": [],
}
"""The keys of `settings.json` with what they hold where nothing was said."""
