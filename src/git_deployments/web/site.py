"""The pages as a site: where each page is, and how it is made from its template.

The paths are those of the refs: a deployment's pages are under `log/` and `versions/`, which no half of a name
can be, so that no two pages meet. Served and exported pages have the same paths but for their endings, and all
links are relative.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from functools import cache
from typing import Any, NamedTuple
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined

from git_deployments import __version__
from git_deployments.errors import DeploymentsError, ExpectationFailed
from git_deployments.model import Event, Identity, Source
from git_deployments.names import encode, quoted, shown
from git_deployments.publish import NotHere
from git_deployments.reason import ReasonMissing
from git_deployments.render import moment, short, when
from git_deployments.web import text
from git_deployments.web.links import Links, home, links, web_link
from git_deployments.web.pages import Side

ASSETS = "assets"
"""Directory of scripts and styles, in the package and in the site."""


class Site(NamedTuple):
    """What all pages of one site share."""

    title: str
    """Name of the repository."""
    read_only: bool
    exported: str = ""
    """When it was written to files, for people; empty where it is served."""

    @property
    def static(self) -> bool:
        """It is made of files."""
        return bool(self.exported)

    # Paths, relative to the root of the site

    def overview(self) -> str:
        """All deployments."""
        return "index.html" if self.static else ""

    def deployment(self, name: str) -> str:
        """One deployment."""
        return f"{_base(name)}/log/{self.overview()}"

    def version(self, name: str, number: int) -> str:
        """One version."""
        return f"{_base(name)}/versions/{number}{self._ending}"

    def comparison(self, name: str, before: int, after: int) -> str:
        """Two versions."""
        return f"{_base(name)}/versions/{before}..{after}{self._ending}"

    def patch(self, name: str, before: int, after: int) -> str:
        """The whole diff of their code, as text."""
        return f"{_base(name)}/versions/{before}..{after}.diff"

    def document(self, name: str, number: int) -> str:
        """The whole configuration of a version, as JSON."""
        return f"{_base(name)}/versions/{number}.json"

    def message(self, name: str, oid: str) -> str:
        """The whole text of a version or an event."""
        return f"{_base(name)}/log/{oid}.txt"

    def settings(self, name: str) -> str:
        """The settings as JSON."""
        return f"{_base(name)}/log/settings.json"

    # Only where it is served

    def move(self, name: str) -> str:
        """Preview of a move, and the move itself."""
        return f"{_base(name)}/log/move"

    def publish(self, name: str) -> str:
        """Publishes what is unpublished."""
        return f"{_base(name)}/log/publish"

    def state(self, name: str | None = None) -> str:
        """What changes when something moves."""
        return f"{_base(name)}/log/state" if name else "state"

    def server(self, name: str | None = None) -> str:
        """How a Prefect server differs."""
        return f"{_base(name)}/log/server" if name else "server"

    def fetch(self, name: str) -> str:
        """Asks a remote what it has."""
        return f"{_base(name)}/log/fetch"

    def choose(self, name: str) -> str:
        """Leads to the comparison of the versions `a` and `b`."""
        return f"{_base(name)}/versions/"

    @property
    def _ending(self) -> str:
        return ".html" if self.static else ""

    def page(self, template: str, path: str, **values: Any) -> str:
        """A page at `path`. Links start with what leads from there to the root of the site."""
        root = "../" * path.count("/") or "./"
        return _environment().get_template(template).render(site=self, root=root, **values)


def _base(name: str) -> str:
    return f"deployments/{quote(encode(name))}"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("git_deployments.web"),
        autoescape=True,
        undefined=StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "separators": (",", ":")}
    environment.globals["version_of_program"] = __version__
    filters = (
        shown, quoted, short, when, moment, text.one_line, text.paragraph, text.counted, web_link, sentence, person,
        tone, chosen, told, standing, code_links, commit_link,
    )  # fmt: skip
    environment.filters.update({one.__name__: one for one in filters})
    return environment


def sentence(event: Event) -> str:
    """What an event did, without who and why."""
    before, after = (f"v{number}" if number else "nothing" for number in (event.before, event.after))
    made = f"v{event.number}" if event.number else ""
    if event.action == "rollback":
        return f"Rolled back from {before} to {after}" if before != after else f"Held at {after}"
    if event.action == "promote":
        return f"Promoted from {before} to {after}" if before != after else f"Hold of {after} ended"
    if event.action == "delete":
        return "Deleted"
    if event.action == "adopt" and not made:
        return f"Move from {before} to {after} recorded"
    verb = {"deploy": "deployed", "update": "updated", "adopt": "adopted"}[event.action]
    if not made:
        return "Settings updated"
    return f"{made} {verb}" if event.after == event.number else f"{made} {verb}, not live"


def person(who: Identity) -> str:
    """The name of somebody, on one line."""
    return text.one_line(who.name, 80) or text.one_line(who.email, 80)


_TONES = {
    "rolled back": "amber",
    "held": "amber",
    "unpublished": "blue",
    "behind": "blue",
    "server differs": "amber",
    "not on the server": "amber",
    "paused": "",
    "disabled": "",
}


def tone(mark: str) -> str:
    """The colour of a mark."""
    return _TONES.get(mark, "red")


def chosen(sides: Iterable[Side]) -> list[Side]:
    """Those that somebody chose, without what was recorded of where a version comes from."""
    return [one for one in sides if one.key.partition(".")[0] not in ("version_info", "updated_by")]


def code_links(source: Source, origin: str | None) -> Links:
    """Where the platform shows a version's commit and branch."""
    return links(source.info, origin)


def commit_link(source: Source, origin: str | None, oid: str) -> str | None:
    """Where the platform shows a commit of a version's code."""
    found = home(source.info, origin)
    return web_link(found.commit(oid)) if found else None


def standing(problem: DeploymentsError) -> str:
    """How far a move that did not end well has come."""
    return "published, but not here" if isinstance(problem, NotHere) else "not done"


def told(problem: DeploymentsError) -> str:
    """An error for somebody who sits before a form and not before a terminal."""
    if isinstance(problem, ReasonMissing):
        return "A reason is required here: say why."
    if isinstance(problem, ExpectationFailed):
        return "Somebody was first: another version is live now. Nothing was moved. Look again, then decide."
    return str(problem).removeprefix("-m: ")


def file_of(path: str) -> str:
    """The file that a path of an exported site is: without the quoting of an address."""
    from urllib.parse import unquote

    return posixpath.normpath(unquote(path))
