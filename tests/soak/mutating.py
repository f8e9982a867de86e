"""Mutations by chance, of text and of what a deployment is made of; the same seed gives the same ones."""

from __future__ import annotations

import hashlib
import json
import os
import random
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from git_deployments import guard
from git_deployments.codec import TreeEntry, tree_bytes
from git_deployments.git import RefChange
from git_deployments.model import Json
from git_deployments.refs import prefix
from git_deployments.repository import Repository

from ..conftest import HASH, Project, Result

PIECES = (
    *("{}", "[]", "null", "true", "-1", "1e999", "1" * 400, '"\\ud800"', "NaN", '"\\u0000"', '""', "[" * 120),
    *("\n", "\n\n", "\r\n", "\0", "\t", " ", ": ", "---\n", "\x1b[31m", "\u2028", "\u202e", "ü", "\ud800", "é" * 40),
    *("Format: 1\n", "Format: 2\n", "Number: 1\n", "Action: delete\n", "Hold: true\n", "Deployment: x/y\n", "To: 2\n"),
    *("parent ", "tree ", "author ", "encoding latin1\n", "gpgsig x\n", "0" * 40, "<a@b> 1 +0000", "%00", "source"),
)
KINDS = ("snapshot", "settings", "version", "event", "tree", "value", "trailer")
READERS: tuple[tuple[str, ...], ...] = (("show",), ("diff", "1", "2"), ("log",), ("versions",))
"""Each with the name of a deployment behind its first word."""


def mutated(data: bytes, choice: random.Random) -> bytes:
    """Bytes taken out, put in, doubled and moved, one to three times."""
    for _ in range(choice.randint(1, 3)):
        start = choice.randrange(len(data) + 1)
        end = min(len(data), start + choice.choice((0, 0, 1, 1, 5, 40)))
        other = choice.randrange(len(data) + 1)
        piece = choice.choice(PIECES).encode("utf-8", "surrogatepass")
        middle = choice.choice((b"", piece, data[other : other + choice.randint(1, 60)]))
        data = data[:start] + middle + data[end:]
    return data


def _value(data: bytes, choice: random.Random) -> bytes:
    """Another value for one key of a document, which stays canonical JSON."""
    document = json.loads(data)
    key = choice.choice([*document, "more"])
    values: tuple[Json, ...] = (
        None,
        True,
        0,
        -1.5,
        "x\x1b[31m\u202e",
        [],
        {},
        [None],
        {"": {"a.b": "%00"}},
        10**30,
        ["x"] * 50,
    )
    document[key] = choice.choice(values)
    if choice.random() < 0.2:
        document.pop(choice.choice(list(document)))
    return json.dumps(document, ensure_ascii=False, sort_keys=True, indent=2).encode("utf-8", "replace") + b"\n"


def _trailer(data: bytes, choice: random.Random) -> bytes:
    """A trailer gone, doubled, or with another value."""
    head, _, last = data.rpartition(b"\n\n")
    lines = last.rstrip(b"\n").split(b"\n")
    at = choice.randrange(len(lines))
    key = lines[at].partition(b":")[0]
    values = (b"", b"1", b"2", b"3", b"0", b"99999999999", b"-1", b"x", b"true", b"a/b", b"HEAD", b"--all", b"f" * 40)
    line = key + b": " + choice.choice(values)
    lines[at : at + 1] = choice.choice(([], [line], [line, lines[at]], [lines[at], line]))
    return head + b"\n\n" + b"\n".join(lines) + b"\n"


class Written(NamedTuple):
    """The commits of a version and of the event that deploys it."""

    version: str
    event: str


class Raw(NamedTuple):
    """The newest version and event of a deployment, as the bytes that they are made of."""

    name: str
    version: bytes
    event: bytes
    tree: bytes
    snapshot: bytes
    settings: bytes
    code: str
    ids: Mapping[str, str]
    """Of the version, of its tree and of the event's tree."""
    before: Written
    """Version 1 and its event."""

    def put_back(self, project: Project) -> None:
        """There are version 1 and its event."""
        for kind, oid in {"versions/2": None, "live": self.before.version, "log": self.before.event}.items():
            put(project, prefix(self.name) + kind, oid)


def deployed_twice(project: Project, count: int) -> list[Raw]:
    """Make so many deployments and deploy each twice, then take the second deploy back."""
    names = [f"etl/p{number}" for number in range(count)]
    for number in (1, 2):
        project.commit(f"Change {number}", code=f"{number}\n")
        more = {"version": f"0.0.{number}", "parameters": {"day": 1.5, "who": "ü"}, "tags": ["a"]}
        entries = [{"name": name[4:], "flow_name": "etl", "description": f"d{number}", **more} for name in names]
        project.write("prefect.yaml", json.dumps({"deployments": entries}))
        project.ok("deploy", "--all")
    return [raw(project, name) for name in names]


def raw(project: Project, name: str) -> Raw:
    """Of a deployment that has two deploys; takes the second one back."""
    root = prefix(name)

    def content(kind: str, name: str) -> bytes:
        return (project.git("cat-file", kind, root + name) + "\n").encode()

    names = {"version": "live", "tree": "live^{tree}", "settings": "log^{tree}"}
    ids = {key: project.git("rev-parse", root + name) for key, name in names.items()}
    code = project.git("rev-parse", f"{root}live:source")
    blob = project.git("rev-parse", f"{root}live:deployment.json")
    tree = tree_bytes([TreeEntry("100644", "deployment.json", blob), TreeEntry("160000", "source", code)])
    snapshot, settings = content("blob", "live:deployment.json"), content("blob", "log:settings.json")
    before = Written(project.git("rev-parse", f"{root}versions/1"), project.git("rev-parse", f"{root}log~1"))
    version, event = content("commit", "live"), content("commit", "log")
    found = Raw(name, version, event, tree, snapshot, settings, code, ids, before)
    found.put_back(project)
    return found


def write(project: Project, base: Raw, choice: random.Random) -> Written:
    """Mutate one of the things that a version and its event are made of; what points to it follows."""
    kind = choice.choice(KINDS)
    snapshot, settings, tree, version, event = base.snapshot, base.settings, base.tree, base.version, base.event
    of_version = choice.random() < 0.5
    if kind == "snapshot":
        snapshot = mutated(snapshot, choice)
    elif kind == "settings":
        settings = mutated(settings, choice)
    elif kind == "value" and of_version:
        snapshot = _value(snapshot, choice)
    elif kind == "value":
        settings = _value(settings, choice)
    edit = mutated if kind in ("version", "event") else _trailer
    if kind == "version" or (kind == "trailer" and of_version):
        version = edit(version, choice)
    elif kind in ("event", "trailer"):
        event = edit(event, choice)
    blob = store(project, "blob", snapshot)
    entries = [TreeEntry("100644", "deployment.json", blob), TreeEntry("160000", "source", base.code)]
    tree = mutated(tree, choice) if kind == "tree" else tree_bytes(entries)
    version = version.replace(base.ids["tree"].encode(), store(project, "tree", tree).encode())
    commit = store(project, "commit", version)
    stand = store(project, "tree", tree_bytes([TreeEntry("100644", "settings.json", store(project, "blob", settings))]))
    event = event.replace(base.ids["settings"].encode(), stand.encode())
    event = event.replace(base.ids["version"].encode(), commit.encode())
    return Written(commit, store(project, "commit", event))


def store(project: Project, kind: str, data: bytes) -> str:
    """Write a loose object, whatever is in it; its id."""
    whole = f"{kind} {len(data)}\0".encode() + data
    oid = hashlib.new(HASH, whole).hexdigest()
    path = project.path / ".git/objects" / oid[:2] / oid[2:]
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(zlib.compress(whole, 1))
    return oid


def faults(project: Project, bases: Sequence[Raw], choice: random.Random) -> Iterator[str]:
    """What is wrong with what the guard and the readers say of a mutation of version 2 of each of some deployments.

    Their logs are at the event of version 1, and are put back there.
    """
    written = {base.name: write(project, base, choice) for base in bases}
    pushed: list[RefChange] = []
    for base in bases:
        version, event = written[base.name]
        olds = {
            "versions/2": (version, None),
            "live": (version, base.before.version),
            "log": (event, base.before.event),
        }
        pushed += (RefChange(prefix(base.name) + ref, *change) for ref, change in olds.items())
    repository = Repository(str(project.path), dict(os.environ))
    refused = list(guard.refusals(repository, pushed))
    repository.close()
    yield from (f"unprintable: {line!r}" for line in refused if not line.isprintable())
    try:
        for base in bases:
            version, event = written[base.name]
            for ref, oid in {"versions/2": version, "live": version, "log": event}.items():
                put(project, prefix(base.name) + ref, oid)
        checked = project.run("fsck")
        yield from clear(("fsck",), checked)
        for base in bases:
            yield from _of_one(project, base.name, _about(base.name, refused), _about(base.name, _errors(checked)))
    finally:
        for base in bases:
            base.put_back(project)


def _of_one(project: Project, name: str, refused: list[str], errors: list[str]) -> Iterator[str]:
    """What is wrong with what the readers say of one deployment, which the guard and fsck have said this of."""
    answers = {(word, name, *more): project.run(word, name, *more) for word, *more in READERS}
    for words, result in answers.items():
        yield from clear(words, result)
    if bool(refused) != bool(errors):
        yield f"the guard and fsck do not agree: {refused} {errors}"
    if not refused and any(result.code for result in answers.values()):
        yield f"it was let in, and cannot be read: {answers}"


def _about(name: str, lines: Iterable[str]) -> list[str]:
    return [line for line in lines if line.startswith(f"{name}: ")]


def _errors(checked: Result) -> list[str]:
    lines = checked.out.splitlines()
    return [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]


def put(project: Project, ref: str, oid: str | None) -> None:
    """Move a ref, whatever is at it."""
    path = project.path / ".git" / ref
    if oid is None:
        path.unlink(missing_ok=True)
    else:
        path.write_text(f"{oid}\n", encoding="ascii")


def clear(words: tuple[str, ...], result: Result) -> Iterator[str]:
    """An answer ends with an exit status of the design, says one line where it is an error, and holds no control."""
    code, out, err = result
    said = f"{' '.join(words)} ended with {code}: {out}{err}"
    if code not in (0, 1, 128) or (code == 128 and not err.splitlines()[-1:][0].startswith("fatal: ")):
        yield f"unclear: {said}"
    if any(not (sign.isprintable() or sign == "\n") for sign in out + err):
        yield f"unprintable: {said!r}"
