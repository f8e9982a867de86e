"""The format on disk, version 1: bytes to values and back. No git is run here.

**Version commit.** Tree: `deployment.json` (canonical JSON, the keys of `model.PROPERTIES`, all
present) and, where the code commit is known, `source`, a gitlink to it. Parent: the version before.
Message: `<encoded name> v<n>[: <version name>]`, the user's text, the trailers.

**Log event.** Tree: `settings.json` (the keys of `model.SETTINGS`, all present). Parents: the event
before, then the version that the event made or adopted. Message: a sentence, the reason, the trailers.

**Trailers** are the last paragraph, always, and only the last paragraph counts; each is one line
`Key: value`, split on `\\n` alone. They are parsed here from the raw message and not by git, whose
reading depends on `trailer.*` configuration. Lines of text that start with `---` are indented, since
git takes such a line for the end of a message. The keys stand in the order of `version_message` and
`event_message`; a key without a value is left out; readers skip keys that they do not know.

**Canonical JSON**: UTF-8, sorted keys, indent 2, not ASCII-escaped, no NaN, one final newline.

Every commit carries `Format: 1`; readers refuse any other (design, "Refs").
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NamedTuple

from git_deployments.errors import DeploymentsError
from git_deployments.git import Damaged, Object
from git_deployments.model import PROPERTIES, SETTINGS, Event, Identity, Json, Run, Source, Version, VersionInfo
from git_deployments.names import encode, shown
from git_deployments.refs import decoded

FORMAT = "1"
SNAPSHOT = "deployment.json"
SETTINGS_FILE = "settings.json"
GITLINK = "source"
DEEPEST = 100
"""Levels of a document that readers accept; a manifest may have fewer (`yamltext.DEEPEST`)."""
_SHORT = 1000
"""Bytes or characters of what is looked at once where it comes again; of what is longer nothing is kept."""
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


# Messages


def with_trailers(subject: str, text: str, trailers: Mapping[str, str | None]) -> str:
    """A whole commit message. `subject` and values are put on one line, `text` is made harmless."""
    values = ((key, one_line(value or "")) for key, value in trailers.items())
    lines = [f"{key}: {value}" for key, value in values if value]
    body = harmless(text)
    return "\n\n".join(part for part in (one_line(subject), body, "\n".join(lines)) if part) + "\n"


def one_line(value: str) -> str:
    """`value` without line breaks, NUL and outer white space."""
    return " ".join(value.replace("\0", " ").split("\n")).strip()


def harmless(text: str) -> str:
    """The user's text as it goes into a message: no NUL, no outer blank lines, no end of the message for git.

    git takes `---` at the start of a line, and a comment that is a scissors line, for the end.
    """
    lines = [line.rstrip() for line in text.replace("\r\n", "\n").replace("\0", " ").split("\n")]
    ends = (line.startswith("---") or (_SCISSORS in line and not line.startswith(" ")) for line in lines)
    return "\n".join(f" {line}" if end else line for end, line in zip(ends, lines, strict=True)).strip("\n")


_SCISSORS = "------------------------ >8 ------------------------"


def misread(commit: Object) -> str | None:
    """Why git reads something else in a commit than we do, as a clause; None for what we write.

    It reads only up to a NUL and to what `harmless` takes from texts, and in the encoding that the header names.
    """
    head, _, message = commit.data.partition(b"\n\n")
    if b"\0" in commit.data:
        return "it holds a NUL, where git stops reading"
    if b"\nencoding " in head:
        return "it is in another encoding than UTF-8"
    cut = _SCISSORS.encode() in message and any(map(_is_scissors, message.split(b"\n")))
    if cut or message.startswith(b"---") or b"\n---" in message:
        return "a line of its text ends the message for git"
    return None


def _is_scissors(line: bytes) -> bool:
    """A comment of one word, whatever comments begin with (git manual, core.commentChar), but no trailer."""
    word, _, rest = line.partition(b" ")
    return rest.startswith(_SCISSORS.encode()) and word[-1:] not in (b"", b":")


def split_message(message: str) -> tuple[str, str, dict[str, str]]:
    """Subject, text and trailers; the trailers are empty where the last paragraph is none."""
    message = message.rstrip("\n")
    before, gap, last = message.rpartition("\n\n")
    trailers = parse_trailers(last) if gap else {}
    subject, _, text = (before if trailers else message).partition("\n\n")
    return subject, text.strip("\n"), trailers


def parse_trailers(paragraph: str) -> dict[str, str]:
    """The trailers of a paragraph, of a repeated key the last; empty unless each line is a trailer."""
    lines = paragraph.split("\n")
    found = [_known_trailer(line) if len(line) < _SHORT else _parse_trailer(line) for line in lines]
    return dict(filter(None, found)) if all(found) else {}


def _parse_trailer(line: str) -> tuple[str, str] | None:
    key, colon, value = line.partition(":")
    if not colon or not key.replace("-", "").isalnum() or not key.isascii():
        return None
    return key, value.strip()


_known_trailer = lru_cache(maxsize=4096)(_parse_trailer)
"""Most lines of a message stand in thousands of others as well."""


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


# Documents


def json_bytes(document: Mapping[str, Json]) -> bytes:
    """Canonical JSON, as `json` writes it sorted and with an indent of two. Raises `DeploymentsError` where it cannot.

    json indents in Python, by a chain of generators, and a guard looks at thousands of documents.
    """
    from json.encoder import encode_basestring

    try:
        return (_indented(document, "\n", encode_basestring) + "\n").encode()
    except UnicodeEncodeError:
        raise DeploymentsError("a value holds text that is not valid Unicode and cannot be stored") from None
    except (TypeError, ValueError, RecursionError) as error:
        raise DeploymentsError(f"a value cannot be stored as JSON: {error}") from None


def _indented(value: object, line: str, quote: Callable[[str], str]) -> str:
    """A value on lines. `line`: a newline and the indent that it stands in."""
    if isinstance(value, str):
        return quote(value)
    if value is None or value is True or value is False:
        return "null" if value is None else "true" if value else "false"
    inner = line + "  "
    if isinstance(value, (dict, Mapping)):  # a dict is told at once, another mapping only by its base class
        items = [f"{quote(key)}: {_indented(value[key], inner, quote)}" for key in sorted(value)]
        return f"{{{inner}{f',{inner}'.join(items)}{line}}}" if items else "{}"
    if isinstance(value, (list, tuple)):
        items = [_indented(one, inner, quote) for one in value]
        return f"[{inner}{f',{inner}'.join(items)}{line}]" if items else "[]"
    return _number_in_json(value)


def _number_in_json(value: object) -> str:
    if isinstance(value, int):
        return int.__repr__(value)
    if not isinstance(value, float):
        raise TypeError(f"a value of type {type(value).__name__} has no form in it")
    if value - value != 0:
        raise ValueError(f"{value} is no number in it")
    return float.__repr__(value)


def parse_document(object_: Object, keys: Mapping[str, Json]) -> dict[str, Json]:
    """`deployment.json` or `settings.json`: a mapping with exactly `keys`. Raises `Malformed`."""
    import json

    if object_.kind != "blob":
        raise Malformed(object_.oid, f"a {object_.kind} stands where a JSON document belongs")
    decoder = json.JSONDecoder(parse_constant=_no_constant, parse_float=_finite, object_pairs_hook=_no_duplicates)
    try:
        document = decoder.decode(object_.data.decode())
        if b"\\ud" in object_.data.lower():
            json.dumps(document, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except (ValueError, RecursionError) as error:
        raise Malformed(object_.oid, f"it is no JSON document ({shown(str(error)[:200])})") from None
    if _is_deep(document):
        raise Malformed(object_.oid, f"it is nested more than {DEEPEST} levels deep")
    if not isinstance(document, dict) or document.keys() != keys.keys():
        different = set(document) ^ set(keys) if isinstance(document, dict) else set()
        detail = ", ".join(sorted(different))[:200]
        raise Malformed(object_.oid, f"its keys are not those of the format ({shown(detail) or 'no mapping'})")
    return document


def canonical_document(object_: Object, keys: Mapping[str, Json]) -> dict[str, Json] | None:
    """What `parse_document` gives, where the bytes are those that `json_bytes` writes of it; else None.

    `keys`: at least one. Then no key stands twice and no number is too large, so none is looked at by itself. What is
    short is looked at once however many documents say it, so its value belongs to all of them and is not for changing.
    """
    data = object_.data
    whole = data.startswith(_FIRST) and data.endswith(_LAST)
    if object_.kind != "blob" or not whole or _TOO_FAR_IN in data:
        return None
    # No text of JSON holds a newline, so a quote that stands this far in begins a key of the document itself.
    members = data[len(_FIRST) : -len(_LAST)].split(_BETWEEN)
    found = [_known_member(member) if len(member) < _SHORT else _canonical_member(member) for member in members]
    document = _ordered(found)
    return document if document is not None and document.keys() == keys.keys() else None


def _ordered(members: list[tuple[str, Json] | None]) -> dict[str, Json] | None:
    """A mapping of its members; None unless each is one, and their keys stand in order and once."""
    pairs = [pair for pair in members if pair]
    document = dict(pairs)
    return document if len(document) == len(members) and list(document) == sorted(document) else None


def _canonical_member(member: bytes) -> tuple[str, Json] | None:
    """Key and value of a member of a mapping, without its first quote; None where `json_bytes` writes it otherwise."""
    plain = _plain_member(member, b"\n  ")
    if plain:
        return plain
    import json

    data = _FIRST + member + _LAST
    try:
        document = json.loads(data.decode())
        same = json_bytes(document) == data
    except (ValueError, RecursionError, DeploymentsError):
        return None
    return next(iter(document.items())) if same else None


def _plain_member(member: bytes, line: bytes) -> tuple[str, Json] | None:
    """As `_canonical_member`, where a look at each line is enough: no escapes, no fractions; else None.

    Nearly everything is of this kind, and is read in a fraction of the time. `line`: see `_indented`.
    """
    key, _, data = member.partition(b'": ')
    name, value = _plain_text(key), _plain_value(data, line)
    return None if name is None or value is None else (name, *value)


def _plain_value(data: bytes, line: bytes) -> tuple[Json] | None:
    """The value, by itself in a tuple."""
    first, last, inner = data[:1], data[-1:], line + b"  "
    if first == last == b'"' and len(data) > 1:
        text = _plain_text(data[1:-1])
        return None if text is None else (text,)
    if first == b"{" and data.startswith(opening := b"{" + inner + b'"') and data.endswith(closing := line + b"}"):
        members = data[len(opening) : -len(closing)].split(b"," + inner + b'"')
        mapping = _ordered([_plain_member(one, inner) for one in members])
        return None if mapping is None else (mapping,)
    if first == b"[" and data.startswith(opening := b"[" + inner) and data.endswith(closing := line + b"]"):
        begin = data[len(opening) : len(opening) + 1]  # of each item, where they are of one kind
        items = data[len(opening) + 1 : -len(closing)].split(b"," + inner + begin)
        values = [_plain_value(begin + item, inner) for item in items]
        return ([value for one in values if one for value in one],) if all(values) else None
    if data.isdigit() and len(data) < 16 and (first != b"0" or len(data) == 1):
        return (int(data),)
    return _WORDS.get(data)


def _plain_text(data: bytes) -> str | None:
    """Characters that stand for themselves between quotes."""
    text = data.decode("ascii", "replace")
    return text if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text else None


_WORDS: Mapping[bytes, tuple[Json]] = {
    b"null": (None,),
    b"true": (True,),
    b"false": (False,),
    b"{}": ({},),
    b"[]": ([],),
}
_known_member = lru_cache(maxsize=4096)(_canonical_member)
"""The documents of a deployment, and of a project, mostly say the same."""
_FIRST, _BETWEEN, _LAST = b'{\n  "', b',\n  "', b"\n}\n"
_TOO_FAR_IN = b"\n" + b"  " * DEEPEST
"""What stands in canonical JSON that is `DEEPEST` levels deep or more."""


def _is_deep(document: Json) -> bool:
    """Whether a document is deeper than `DEEPEST`; recursion elsewhere then stays bounded."""
    level: list[Json] = [document]
    for _ in range(DEEPEST):
        inner = (
            value.values() if isinstance(value, dict) else value for value in level if isinstance(value, (dict, list))
        )
        level = [value for values in inner for value in values]
        if not level:
            return False
    return True


def _finite(digits: str) -> float:
    number = float(digits)
    if number - number != 0:
        raise ValueError(f"{digits} is too large")
    return number


def _no_constant(name: str) -> Json:
    raise ValueError(f"{name} is not allowed")


def _no_duplicates(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a key stands twice in one mapping")
    return document


def snapshot(properties: Mapping[str, Json]) -> bytes:
    """`deployment.json`: every key of the format, unset ones as `model.PROPERTIES` has them."""
    return json_bytes({key: properties.get(key, default) for key, default in PROPERTIES.items()})


def settings_document(settings: Mapping[str, Json]) -> bytes:
    """`settings.json`: every key of the format, unset ones as `model.SETTINGS` has them."""
    return json_bytes({key: settings.get(key, default) for key, default in SETTINGS.items()})
