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

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from git_deployments.errors import DeploymentsError
from git_deployments.git import Damaged, Object
from git_deployments.message import split_message, with_trailers
from git_deployments.model import Event, Identity, Run, Source, Version, VersionInfo
from git_deployments.names import encode, shown
from git_deployments.refs import decoded

FORMAT = "1"
SNAPSHOT = "deployment.json"
SETTINGS_FILE = "settings.json"
GITLINK = "source"
_SHORT = 1000
"""Bytes, or characters, of what is looked at once where it comes again; of what is longer nothing is kept."""
ACTIONS = ("deploy", "update", "promote", "rollback", "adopt", "delete")


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
        "Format": FORMAT,
    }
    subject = f"{name} v{version.number}" + (f": {version.label}" if version.label else "")
    return with_trailers(subject, version.message, values)


def parse_version(object_: Object) -> Version:
    """The version of a raw commit. Raises `Malformed` and `UnknownFormat`."""
    commit = parse_commit(object_)
    _, message, trailers = split_message(commit.message)
    name = _checked(commit.oid, trailers, "version")
    if "Action" in trailers:
        raise Malformed(commit.oid, "an event of the log stands where a version belongs")
    number = _number(commit.oid, trailers, "Number")
    if number is None:
        raise Malformed(commit.oid, "the trailer Number is missing")
    label, sha = trailers.get("Version") or None, _id(commit.oid, trailers, "Source-Commit")
    info = VersionInfo(
        type=trailers.get("Source-Type", "prefect:simple"),
        version=label or (sha[:8] if sha else None),
        commit_sha=sha,
        message=trailers.get("Source-Message") or None,
        branch=trailers.get("Source-Branch") or None,
        repository=trailers.get("Source-Repository") or None,
        url=trailers.get("Source-Url") or None,
    )
    directory, dirty = trailers.get("Source-Directory", ""), trailers.get("Source-Dirty") == "true"
    return Version(
        name=name,
        number=number,
        label=label,
        commit=commit.oid,
        parent=commit.parents[0] if commit.parents else None,
        tree=commit.tree,
        source=Source(info, sha, directory, dirty),
        author=commit.author,
        message=message,
        run=_run(trailers),
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
        "Format": FORMAT,
    }
    return with_trailers(sentence, event.reason, values)


def parse_event(object_: Object) -> Event:
    """The event of a raw commit. Raises `Malformed` and `UnknownFormat`."""
    commit = parse_commit(object_)
    _, reason, trailers = split_message(commit.message)
    name = _checked(commit.oid, trailers, "event of a log")
    action = trailers.get("Action", "")
    if action not in ACTIONS:
        raise Malformed(commit.oid, f"the trailer Action is '{shown(action)}'" if action else "it is no event of a log")
    number, latest = _number(commit.oid, trailers, "Number"), _number(commit.oid, trailers, "Latest")
    made = number is not None
    if len(commit.parents) > 1 + made:
        raise Malformed(commit.oid, "it has more parents than an event has")
    if made and not commit.parents:
        raise Malformed(commit.oid, "it made a version that is not its parent")
    return Event(
        name=name,
        action=action,
        number=number,
        before=_number(commit.oid, trailers, "From"),
        after=_number(commit.oid, trailers, "To"),
        reason=reason,
        commit=commit.oid,
        previous=commit.parents[0] if len(commit.parents) > made else None,
        tree=commit.tree,
        author=commit.author,
        live_commit=_id(commit.oid, trailers, "Live-Commit"),
        latest=latest,
        latest_commit=_id(commit.oid, trailers, "Latest-Commit"),
        label=trailers.get("Version") or None,
        source=_id(commit.oid, trailers, "Source-Commit"),
        paused=_flag(commit.oid, trailers, "Paused", ("true", "false", "")),
        held=_flag(commit.oid, trailers, "Hold", ("true", "")),
        run=_run(trailers),
    )


def _checked(oid: str, trailers: Mapping[str, str], what: str) -> str:
    """The deployment's name, after a look at the format."""
    version = trailers.get("Format")
    if version is None:
        raise Malformed(oid, f"it is no {what}: its message ends in no trailers of ours")
    if version != FORMAT:
        raise UnknownFormat(
            f"object {oid} is of format {shown(version)}, which this git-deployments does not know; upgrade it"
        )
    try:
        return decoded(trailers.get("Deployment", ""))
    except DeploymentsError:
        raise Malformed(oid, "the trailer Deployment names no deployment") from None


def _number(oid: str, trailers: Mapping[str, str], key: str) -> int | None:
    digits = trailers.get(key)
    if digits is None:
        return None
    if not (digits.isascii() and digits.isdigit() and len(digits) < 12 and digits[0] != "0"):
        raise Malformed(oid, f"the trailer {key} is '{shown(digits[:40])}' and no version number")
    return int(digits)


def _id(oid: str, trailers: Mapping[str, str], key: str) -> str | None:
    """An object id; anything else never gets as far as a command line of git's."""
    found = trailers.get(key)
    if not found:
        return None
    if not is_id(found):
        raise Malformed(oid, f"the trailer {key} is '{shown(found[:80])}' and no object id")
    return found


def _flag(oid: str, trailers: Mapping[str, str], key: str, values: tuple[str, ...]) -> bool:
    """Whether it is `true`, which is one of the `values` that it may have; empty: it may be absent."""
    found = trailers.get(key, "")
    if found not in values:
        raise Malformed(oid, f"the trailer {key} is '{shown(found[:40])}' and not {' or '.join(filter(None, values))}")
    return found == "true"


def is_id(text: str) -> bool:
    """Whether a text is a whole object id: git takes others for names of something else."""
    return len(text) in (40, 64) and not text.strip("0123456789abcdef")


def _digits(number: int | None) -> str | None:
    return None if number is None else str(number)


def _run(trailers: Mapping[str, str]) -> Run:
    return Run(trailers.get("Actor") or None, trailers.get("Run-Url") or None)
