"""The format on disk, version 1: bytes to values and back. No git is run here.

**Version commit.** Tree: `deployment.json` (see `document`; the keys of `model.PROPERTIES`, all
present) and, where the code commit is known, `source`, a gitlink to it. Parent: the version before.
Message: `<encoded name> v<n>[: <version name>]`, the user's text, the trailers.

**Log event.** Tree: `settings.json` (the keys of `model.SETTINGS`, all present). Parents: the event
before, then the version that the event made or adopted. Message: a sentence, the reason, the trailers.

**Trailers** are the last paragraph, always, and only the last paragraph counts; each is one line
`Key: value`, split on `\\n` alone (`message`). Lines of text that start with `---` are indented, since
git takes such a line for the end of a message. The keys stand in the order of `version_message` and
`event_message`; a key without a value is left out; readers skip keys that they do not know.

Every commit carries `Format: 1`; readers refuse any other (design, "Refs").
"""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import count
from typing import Any, NamedTuple

from git_deployments import trailers
from git_deployments.errors import DeploymentsError
from git_deployments.git import Damaged, Object
from git_deployments.message import split_message, with_trailers
from git_deployments.model import Event, Identity, Run, Source, Version, VersionInfo
from git_deployments.names import encode, shown
from git_deployments.refs import decoded
from git_deployments.trailers import is_id

SNAPSHOT = "deployment.json"
SETTINGS_FILE = "settings.json"
GITLINK = "source"
_SHORT = 1000
"""Bytes, or characters, of what is looked at once where it comes again; of what is longer nothing is kept."""


class Malformed(Damaged):
    """An object that is not what its ref says it is."""

    remedy = ""

    def __init__(self, oid: str, what: str) -> None:
        super().__init__(oid, f"is malformed: {what}")


class UnknownFormat(DeploymentsError):
    """Written by a newer git-deployments."""


class Commit(NamedTuple):
    """A raw commit, taken apart."""

    oid: str
    tree: str
    parents: tuple[str, ...]
    author: Identity
    committer: Identity
    message: str


class TreeEntry(NamedTuple):
    """One line of a tree."""

    mode: str
    """`100644` or `160000`."""
    name: str
    oid: str


# Commits


def parse_commit(object_: Object) -> Commit:
    """Take a raw commit apart. Raises `Malformed`.

    Its author and committer follow the parents, as git writes them. A parent that stands elsewhere keeps nothing alive.
    """
    if object_.kind != "commit":
        raise Malformed(object_.oid, f"a {object_.kind} stands where a commit belongs")
    tree, parents, end = _links(object_.data)
    head, _, message = object_.data[end:].decode("utf-8", "replace").partition("\n\n")
    if head.startswith("parent ") or "\nparent " in head:
        raise Malformed(object_.oid, "a parent stands where git sees none")
    author, _, rest = head.partition("\n")
    committer = rest.partition("\n")[0]
    if not tree or not author.startswith("author ") or not committer.startswith("committer "):
        raise Malformed(object_.oid, "it lacks a tree, an author or a committer")
    if not all(map(is_id, (tree, *parents))):
        raise Malformed(object_.oid, "its tree or a parent is no object id")
    by = _identity(author[7:])
    stored_by = by if committer[10:] == author[7:] else _identity(committer[10:])
    return Commit(object_.oid, tree, parents, by, stored_by, message)


def tree_and_parents(object_: Object) -> tuple[str, tuple[str, ...]]:
    """What `parse_commit` says of these two, for commits that are parsed elsewhere; no tree is empty."""
    return _links(object_.data)[:2] if object_.kind == "commit" else ("", ())


def _links(commit: bytes) -> tuple[str, tuple[str, ...], int]:
    """The tree and the parents that git sees: the first line and those right after it. And where these end."""
    return _known_links(commit) if len(commit) < _SHORT else _read_links(commit)


def _read_links(commit: bytes) -> tuple[str, tuple[str, ...], int]:
    if not commit.startswith(b"tree "):
        return "", (), 0
    end = commit.find(b"\n") + 1
    tree, parents = commit[5 : end - 1].decode("ascii", "replace"), list[str]()
    while commit.startswith(b"parent ", end) and (after := commit.find(b"\n", end) + 1):
        parents.append(commit[end + 7 : after - 1].decode("ascii", "replace"))
        end = after
    return tree, tuple(parents), end


_known_links = lru_cache(maxsize=1024)(_read_links)
"""Who walks commits, who reads them and who holds them to the rules ask for the same."""


def _identity(line: str) -> Identity:
    return _known_identity(line) if len(line) < _SHORT else parse_identity(line)


def parse_identity(line: str) -> Identity:
    """`Name <email> seconds offset`, as `git var` and commits have it; what is unreadable is 0."""
    name, _, rest = line.partition("<")
    email, _, when = rest.rpartition(">")
    seconds, _, offset = when.strip().partition(" ")
    number = int(seconds) if seconds.isascii() and seconds.isdigit() and len(seconds) < 12 else 0
    return Identity(name.strip(), email, number, offset if _is_offset(offset) else "+0000")


_known_identity = lru_cache(maxsize=1024)(parse_identity)
"""One deploy writes versions and events by the thousand, all at the same moment."""


def _is_offset(words: str) -> bool:
    return len(words) == 5 and words[0] in "+-" and words.isascii() and words[1:].isdigit()


def commit_bytes(tree: str, parents: tuple[str, ...], author: Identity, committer: Identity, message: str) -> bytes:
    """A raw commit."""
    lines = [f"tree {tree}", *(f"parent {parent}" for parent in parents)]
    lines += [
        f"{role} {who.person} {who.seconds} {who.offset}"
        for role, who in (("author", author), ("committer", committer))
    ]
    return "\n".join([*lines, "", message]).encode("utf-8", "replace")


def tree_bytes(entries: list[TreeEntry]) -> bytes:
    """A raw tree. The names of one tree must be of the same kind, so that plain order is git's order."""
    ordered = sorted(entries, key=lambda entry: entry.name)
    return b"".join(f"{entry.mode} {entry.name}\0".encode() + bytes.fromhex(entry.oid) for entry in ordered)


def parse_tree(object_: Object) -> list[TreeEntry]:
    """The entries of a raw tree. Raises `Malformed`."""
    if object_.kind != "tree":
        raise Malformed(object_.oid, f"a {object_.kind} stands where a tree belongs")
    data, width, position = object_.data, len(object_.oid) // 2, 0
    entries = []
    while position < len(data):
        end = data.find(b"\0", position)
        mode, _, name = data[position:end].decode("utf-8", "replace").partition(" ")
        oid = data[end + 1 : end + 1 + width]
        if end < 0 or len(oid) != width:
            raise Malformed(object_.oid, "the tree ends in the middle of an entry")
        entries.append(TreeEntry(mode, name, oid.hex()))
        position = end + 1 + width
    return entries


# Versions


def version_message(version: Version, was: str | None = None) -> str:
    """The message of a version commit. `was`: `v<n> <id>` of the version that this one replays."""
    name = encode(version.name)
    info, source = version.source.info, version.source
    values = {
        "Deployment": name,
        "Number": str(version.number),
        "Version": version.label,
        "Source-Type": info.type,
        "Source-Commit": info.commit_sha,
        "Source-Branch": info.branch,
        "Source-Repository": info.repository,
        "Source-Url": info.url,
        "Source-Message": info.message,
        "Source-Directory": source.directory or None,
        "Source-Dirty": "true" if source.dirty else None,
        "Actor": version.run.actor,
        "Run-Url": version.run.url,
        "Was": was,
        "Format": trailers.FORMAT,
    }
    subject = f"{name} v{version.number}" + (f": {version.label}" if version.label else "")
    return with_trailers(subject, version.message, values)


def parse_version(object_: Object) -> Version:
    """The version of a raw commit. Raises `Malformed` and `UnknownFormat`."""
    parts = _written(object_, trailers.of_version) or _read(object_, trailers.VERSION, "version")
    name, number, label, kind, sha, branch, repository, url, words, directory, dirty, actor, run, *_ = parts.values
    if number is None:
        raise Malformed(object_.oid, "the trailer Number is missing")
    info = VersionInfo(
        type=kind or "prefect:simple",
        version=label or (sha[:8] if sha else None),
        commit_sha=sha,
        message=words,
        branch=branch,
        repository=repository,
        url=url,
    )
    return Version(
        name=_name(object_.oid, name),
        number=int(number),
        label=label,
        commit=object_.oid,
        parent=parts.first,
        tree=parts.tree,
        source=Source(info, sha, directory or "", dirty == "true"),
        author=parts.author,
        message=parts.text,
        run=Run(actor, run),
    )


# Events


def event_message(event: Event, sentence: str) -> str:
    """The message of a log event; of `event` only what the trailers say counts."""
    values = {
        "Deployment": encode(event.name),
        "Action": event.action,
        "Number": _digits(event.number),
        "From": _digits(event.before),
        "To": _digits(event.after),
        "Live-Commit": event.live_commit,
        "Latest": _digits(event.latest),
        "Latest-Commit": event.latest_commit,
        "Version": event.label,
        "Source-Commit": event.source,
        "Paused": "true" if event.paused else "false",
        "Hold": "true" if event.held else None,
        "Actor": event.run.actor,
        "Run-Url": event.run.url,
        "Format": trailers.FORMAT,
    }
    return with_trailers(sentence, event.reason, values)


def parse_event(object_: Object) -> Event:
    """The event of a raw commit. Raises `Malformed` and `UnknownFormat`."""
    parts = _written(object_, trailers.of_event) or _read(object_, trailers.EVENT, "event of a log")
    name, action, number, before, after, live, latest, newest, label, source, paused, hold, actor, run, _ = parts.values
    if parts.second and not number:
        raise Malformed(object_.oid, "it has more parents than an event has")
    if number and not parts.first:
        raise Malformed(object_.oid, "it made a version that is not its parent")
    return Event(
        name=_name(object_.oid, name),
        action=action,
        number=int(number) if number else None,
        before=int(before) if before else None,
        after=int(after) if after else None,
        reason=parts.text,
        commit=object_.oid,
        previous=parts.first if parts.second or not number else None,
        tree=parts.tree,
        author=parts.author,
        live_commit=live,
        latest=int(latest) if latest else None,
        latest_commit=newest,
        label=label,
        source=source,
        paused=paused == "true",
        held=hold == "true",
        run=Run(actor, run),
    )


def _name(oid: str, encoded: str | None) -> str:
    try:
        return decoded(encoded or "")
    except DeploymentsError:
        raise Malformed(oid, "the trailer Deployment names no deployment") from None


class _Parts(NamedTuple):
    """A commit of ours, taken apart."""

    tree: str
    first: str | None
    """A parent."""
    second: str | None
    author: Identity
    text: str
    values: tuple[str | Any, ...]
    """Of its trailers, in the order of their table; None for those that it has not."""


_seen = count()
_SEVERAL = 64
"""Commits from which on the regular expressions save more than it costs to make them."""


def _written(object_: Object, last_paragraph: Callable[[], re.Pattern[str]]) -> _Parts | None:
    """A commit that is just as we write it: what `_read` says of it, in half the time. None for others."""
    if next(_seen) < _SEVERAL or object_.kind != "commit":
        return None
    whole, _, last = object_.data.decode("utf-8", "replace").rpartition("\n\n")
    found = last_paragraph().fullmatch(last)
    head = trailers.above().match(whole) if found else None
    if not found or not head:
        return None
    tree, first, second, author = head.groups()
    text = whole[head.end() :].partition("\n\n")[2].strip("\n")
    return _Parts(tree, first, second, _identity(author), text, found.groups())


def _read(object_: Object, forms: Mapping[str, trailers.Form], what: str) -> _Parts:
    """Any commit, line by line. Raises `Malformed` and `UnknownFormat`."""
    commit, oid = parse_commit(object_), object_.oid
    _, text, given = split_message(commit.message)
    if "Format" not in given:
        raise Malformed(oid, f"it is no {what}: its message ends in no trailers of ours")
    if given["Format"] != trailers.FORMAT:
        known = f"is of format {shown(given['Format'])}, which this git-deployments does not know; upgrade it"
        raise UnknownFormat(f"object {oid} {known}")
    if forms is trailers.VERSION and "Action" in given:
        raise Malformed(oid, "an event of the log stands where a version belongs")
    if forms is trailers.EVENT and not given.get("Action"):
        raise Malformed(oid, "it is no event of a log")
    for key, form in forms.items():
        if key in given and not form.fits(given[key]):
            raise Malformed(oid, f"the trailer {key} is '{shown(given[key][:80])}' and {form.otherwise}")
    if len(commit.parents) > 2 and forms is trailers.EVENT:
        raise Malformed(oid, "it has more parents than an event has")
    first, second, *_ = (*commit.parents, None, None)
    values = tuple(given.get(key) or None for key in forms)
    return _Parts(commit.tree, first, second, commit.author, text, values)


def _digits(number: int | None) -> str | None:
    return None if number is None else str(number)
