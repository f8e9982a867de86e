"""The pages as files: the same site, read-only, for a disk or any static host."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator
from importlib.resources import files
from itertools import pairwise
from typing import NamedTuple

from git_deployments.errors import DeploymentsError
from git_deployments.history import State, names, properties, settings, states
from git_deployments.model import Json, Watch
from git_deployments.names import shown
from git_deployments.repository import Repository
from git_deployments.web import code, pages
from git_deployments.web.site import ASSETS, Site, file_of

OURS = '<meta name="generator" content="git-deployments">'
"""In each page that was written, and in no other page."""
_PAGES = "deployments"
_DATA = re.compile(r"versions/(\d+\.json|\d+\.\.\d+\.diff)|log/(settings\.json|[0-9a-f]{40,64}\.txt)")
"""What is written beside the pages of a deployment, by its place."""


class NotOurs(DeploymentsError):
    """The directory holds somebody else's pages."""


class Exported(NamedTuple):
    """What was written."""

    pages: int
    damaged: list[str]
    """A line for each deployment that cannot be read, and so has only a page that says why."""


def export(repository: Repository, site: Site, directory: str, watch: Watch) -> Exported:
    """Write the site into `directory`, over an earlier one; pages of that one that are no more are removed.

    Raises `NotOurs` before anything is written.
    """
    _see_to(directory)
    written: set[str] = set()
    damaged = []
    found = states(repository, names(repository))
    for done, state in enumerate(found):
        watch(done, len(found))
        its: set[str] = set()
        try:
            for path, content in _deployment(repository, site, state):
                _write(directory, path, content, its)
        except DeploymentsError as error:
            damaged.append(f"{shown(state.name)}: {error}")
            its.clear()  # those before the damage lead to some that are not there
            path = site.deployment(state.name)
            _write(directory, path, _problem(repository, site, path, error), its)
        written |= its
    for path, data in _assets():
        _write(directory, path, data, written)
    overview = pages.overview(repository)
    # The list comes last: what it links to is there.
    _write(
        directory, site.overview(), _page(repository, site, "index.html", site.overview(), overview=overview), written
    )
    _remove_others(directory, written)
    watch(len(found), len(found))
    return Exported(sum(path.endswith(".html") for path in written), damaged)


def _see_to(directory: str) -> None:
    """Only the list marks a directory as one of ours: without it, what is there is somebody else's."""
    index = os.path.join(directory, "index.html")
    if _is_ours(index):
        return
    for path in (index, *(os.path.join(directory, one) for one in (ASSETS, _PAGES))):
        if os.path.lexists(path):
            raise NotOurs(f"{shown(path)} is no page of git deployments; give an empty directory, or a new one")


def _is_ours(file: str) -> bool:
    if not os.path.isfile(file):
        return False
    with open(file, "rb") as stream:
        return OURS.encode() in stream.read(4096)


def _page(repository: Repository, site: Site, template: str, path: str, **values: object) -> bytes:
    origin = pages.origin(repository)
    return site.page(template, path, digest="", watch="", origin=origin, server=False, **values).encode(
        "utf-8", "replace"
    )


def _problem(repository: Repository, site: Site, path: str, error: DeploymentsError) -> bytes:
    """What stands in the place of a deployment that cannot be read: the list leads there."""
    return _page(repository, site, "problem.html", path, title="This cannot be shown", words=str(error), status=500)


def _deployment(repository: Repository, site: Site, state: State) -> Iterator[tuple[str, bytes]]:
    """Paths and contents of all pages of one deployment."""
    name = state.name
    page = pages.deployment(repository, name)
    path = site.deployment(name)
    served = {"done": None, "troubles": (), "published": False, "limit": pages.ENTRIES}
    yield path, _page(repository, site, "deployment.html", path, page=page, **served)
    yield site.settings(name), _json(settings(repository, state.event))
    for entry in page.entries:
        yield from _texts(site, name, entry)
    numbers = _numbers(page)
    for number in numbers:
        one = pages.shown_version(repository, name, f"number:{number}")
        # A neighbour that has no page here is no neighbour.
        before, after = (near if near in numbers else None for near in (one.before, one.after))
        one = one._replace(before=before, after=after)
        path = site.version(name, number)
        yield path, _page(repository, site, "version.html", path, page=one)
        yield site.document(name, number), _json(properties(repository, one.version))
    for pair in sorted(_pairs(page, numbers)):
        yield from _comparison(repository, site, name, *pair)


def _texts(site: Site, name: str, entry: pages.Entry) -> Iterator[tuple[str, bytes]]:
    """The whole of texts that pages may cut."""
    if entry.event.reason:
        yield site.message(name, entry.event.commit), entry.event.reason.encode("utf-8", "replace")
    if entry.version and entry.version.message:
        yield site.message(name, entry.version.commit), entry.version.message.encode("utf-8", "replace")


def _numbers(page: pages.Deployment) -> list[int]:
    """Versions that have a page: the newest ones, the live one, and all that a shown move names."""
    found = set(page.choices[: pages.ENTRIES])
    found.update(number for before, after in _moves(page) for number in (before, after))
    if page.live:
        found.add(page.live.number)
    return sorted(found)


def _moves(page: pages.Deployment) -> Iterator[tuple[int, int]]:
    for entry in page.entries:
        before, after = entry.event.before, entry.event.after
        if before and after and before != after:
            yield before, after
    if page.change:
        yield page.change.before.number, page.change.after.number


def _pairs(page: pages.Deployment, numbers: list[int]) -> set[tuple[int, int]]:
    """Comparisons that a page links to: of neighbours, of each move's two ends, and of each with what is live."""
    found = {(one, other) for one, other in pairwise(numbers) if one + 1 == other} | set(_moves(page))
    live = page.live.number if page.live else None
    return found | {(number, live) for number in numbers if live and number != live}


def _comparison(repository: Repository, site: Site, name: str, before: int, after: int) -> Iterator[tuple[str, bytes]]:
    page = pages.compared(repository, name, f"number:{before}", f"number:{after}")
    path = site.comparison(name, before, after)
    yield path, _page(repository, site, "comparison.html", path, page=page)
    old, new = page.before.source.commit, page.after.source.commit
    if old and new and any(file.cut for file in page.code.files):
        yield site.patch(name, before, after), code.whole(repository, old, new).result()


def _json(value: Json) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True) + "\n").encode("utf-8", "replace")


def _assets() -> Iterator[tuple[str, bytes]]:
    for one in files("git_deployments.web").joinpath(ASSETS).iterdir():
        yield f"{ASSETS}/{one.name}", one.read_bytes()


def _write(directory: str, path: str, content: bytes, written: set[str]) -> None:
    """A file whole or not at all: a web server may be reading."""
    file = os.path.join(directory, *file_of(path).split("/"))
    os.makedirs(os.path.dirname(file), exist_ok=True)
    with open(f"{file}.new", "wb") as stream:
        stream.write(content)
    os.replace(f"{file}.new", file)
    written.add(file)


def _remove_others(directory: str, written: Iterable[str]) -> None:
    """Pages of an earlier export. What somebody else put beside them stays."""
    kept = set(written)
    for place, directories, found in os.walk(os.path.join(directory, _PAGES), topdown=False):
        for file in (os.path.join(place, one) for one in found):
            if file not in kept and _is_page(file):
                os.remove(file)
        for path in (os.path.join(place, one) for one in directories):
            if not os.path.islink(path) and not os.listdir(path):
                os.rmdir(path)


def _is_page(file: str) -> bool:
    """A file that an export made, or what one that was killed left of it."""
    whole = file.removesuffix(".new")
    if whole.endswith(".html"):
        return _is_ours(file)
    return _DATA.fullmatch("/".join(whole.split(os.sep)[-2:])) is not None
