"""Bounded YAML to values, with the text of every scalar kept (design, "Manifest"; facts-git.md, section 8).

One pass over the parser's events builds a small tree. Nothing is built that was not bounded first:
bytes, depth, and the size after aliases and merge keys are expanded. PyYAML's own composer is never
called: it recurses in C, has no bounds, and lets the last of two equal keys win in silence.

A scalar keeps its text as written, so that `1.10`, `0123456`, `12e4567` or `no` stay what they are
where a string belongs. `value` gives what YAML 1.1 says elsewhere, as PyYAML and thus Prefect read it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from itertools import chain, repeat
from typing import Any, NamedTuple, NoReturn, Union

import yaml

from git_deployments.errors import DeploymentsError
from git_deployments.model import Json
from git_deployments.names import brief, shown

LARGEST = 16 * 2**20
"""Bytes that a file may have; a thousand deployments take about 300,000."""
DEEPEST = 64
"""Collections inside each other, aliases expanded; json and our own recursion stay far from their limits."""
HEAVIEST = 1_000_000
"""Weight of the whole once aliases and merges are expanded: a node counts 1, and 1 more for 32 characters."""
LONGEST_NUMBER = 300
"""Characters of a number. Python refuses to convert far longer ones, or takes quadratic time."""
TOO_DEEP = f"more than {DEEPEST} lists and mappings inside each other; make it flatter"

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"
_STR = "str"
_SCALAR_TAGS = frozenset((_STR, "int", "float", "bool", "null"))
_NULLS = frozenset(("", "~", "null", "Null", "NULL"))
_MERGE = "<<"
_SURROGATE = re.compile("[\ud800-\udfff]")
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class BadYaml(DeploymentsError):
    """A text that is no YAML, or none that can be accepted."""


class Scalar(NamedTuple):
    """One value of the file, not yet interpreted."""

    text: str
    """Exactly as written, quotes and escapes undone."""
    line: int
    """1 for the first."""
    kind: str = _STR
    """`str` if quoted, a tag's short name, or empty for a plain scalar whose type YAML 1.1 decides."""


class Seq(NamedTuple):
    """A list of the file."""

    items: list[Node]
    line: int
    weight: int
    height: int
    """Collections inside each other, this one included."""
    templated: bool
    """`{{` stands somewhere inside."""


class Map(NamedTuple):
    """A mapping of the file, merge keys resolved."""

    entries: dict[str, Node]
    """By the text of the key, whatever type YAML gives it."""
    lines: dict[str, int]
    """Where each key stands."""
    line: int
    weight: int
    height: int
    templated: bool


Node = Union[Scalar, Seq, Map]


def load(data: bytes, file: str) -> Map:
    """The one document of a file, a mapping. `file` names it in errors (`file:line:column: …`).

    Raises `BadYaml`.
    """
    node = _build(_decoded(data, file), file)
    if node is None:
        raise BadYaml(f"{file}: it is empty; a mapping of keys to values is expected")
    if not isinstance(node, Map):
        raise BadYaml(f"{file}:{node.line}:1: the top level must be a mapping of keys to values")
    return node


def parse(text: str, name: str = "value") -> Node | None:
    """The tree of a short text, such as the VALUE of `update KEY=VALUE`; None where it holds nothing.

    `name` stands in errors where a file's name would. Raises `BadYaml`.
    """
    try:
        data = text.encode()
    except UnicodeEncodeError:
        raise BadYaml(f"{name}: it is not valid UTF-8 text; write it in UTF-8") from None
    return _build(_decoded(data, name), name)


def of_json(value: Json, depth: int = DEEPEST) -> Node:
    """The tree of a value that is JSON already; every line is 1. Raises `BadYaml` beyond `depth` collections.

    From Python a tuple may come in a list's place, as `json` takes it.
    """
    if not isinstance(value, (dict, list, tuple)):
        kind = next(kind for kind, types in _JSON_KINDS if isinstance(value, types))
        return Scalar(value if isinstance(value, str) else json.dumps(value), 1, kind)
    if not depth:
        raise BadYaml(TOO_DEEP)
    if isinstance(value, dict):
        return mapping({str(key): of_json(child, depth - 1) for key, child in value.items()})
    return sequence([of_json(child, depth - 1) for child in value])


def sequence(items: Iterable[Node]) -> Node:
    """The tree of a list, from those of its items."""
    made = _Open(1, None, None)
    for node in items:
        made.measure(node)
        made.items.append(node)
    return made.finish()


def mapping(entries: Mapping[str, Node]) -> Node:
    """The tree of a mapping, from those of its values."""
    made = _Open(1, None, dict(entries))
    for key, node in entries.items():
        made.measure(Scalar(key, 1))
        made.measure(node)
        made.lines[key] = 1
    return made.finish()


_JSON_KINDS = (("str", str), ("bool", bool), ("int", int), ("float", float), ("null", type(None)))


def is_null(node: Node) -> bool:
    """Whether YAML reads null here."""
    return isinstance(node, Scalar) and (node.kind == "null" or (not node.kind and node.text in _NULLS))


def value(node: Node, text_keys: frozenset[str] = frozenset(), flag_keys: frozenset[str] = frozenset()) -> Json:
    """The JSON value of a tree; timestamps are text. Under `text_keys` every scalar but null keeps its text.

    Not so those at `flag_keys` of a mapping that is a value of another mapping there. Raises `BadYaml`
    (`line N: …`) where YAML's value is none of JSON's: an infinite or impossible number.
    """
    if isinstance(node, Scalar):
        return node.text if node.kind == _STR else _scalar_value(node)
    if isinstance(node, Seq):
        return [value(item, text_keys, flag_keys) for item in node.items]
    return {
        key: all_text(child, flag_keys) if key in text_keys else value(child, text_keys, flag_keys)
        for key, child in node.entries.items()
    }


def all_text(node: Node, flag_keys: frozenset[str] = frozenset(), inner: bool = False) -> Json:
    """The JSON value of a tree whose scalars are text or null, but for `flag_keys` of its inner mappings."""
    if isinstance(node, Scalar):
        return None if is_null(node) else node.text
    if isinstance(node, Seq):
        return [all_text(item, flag_keys) for item in node.items]
    return {
        key: value(child) if inner and key in flag_keys else all_text(child, flag_keys, inner=True)
        for key, child in node.entries.items()
    }


def typed(node: Node, schema: Json, root: Json = None) -> Json:
    """The JSON value of a tree, the text kept wherever `schema` wants a string and takes no such value.

    `schema` is a JSON Schema; `root` holds what its `$ref`s point into, itself by default. A schema
    only decides between two readings here: nothing is validated. What has its type already, as JSON
    has, keeps it. Raises `BadYaml` as `value` does.
    """
    root = schema if root is None else root
    choices = _choices(schema, root)
    if isinstance(node, Scalar):
        return _typed_scalar(node, choices)
    if isinstance(node, Seq):
        firsts = max((len(_firsts(choice)) for choice in choices), default=0)
        schemas = chain((_of_item(choices, at) for at in range(firsts)), repeat(_of_item(choices, firsts)))
        return [typed(item, wanted, root) for item, wanted in zip(node.items, schemas, strict=False)]
    return {key: typed(child, _of_key(choices, key), root) for key, child in node.entries.items()}


def _typed_scalar(node: Scalar, choices: list[Mapping[str, Json]]) -> Json:
    found = value(node)
    if node.kind or found is None or isinstance(found, str):  # null is no text that somebody meant as one
        return found
    types: set[str] = set()
    for choice in choices:
        types |= _accepted(choice)
    if "string" in types and not types & _types_of(found):
        return node.text
    return found


def _accepted(schema: Mapping[str, Json]) -> set[str]:
    """Types that a schema names, or that the values have which it lists."""
    named, listed = schema.get("type"), schema.get("enum")
    types = {name for name in (named if isinstance(named, list) else [named]) if isinstance(name, str)}
    for one in listed if isinstance(listed, list) else [schema["const"]] if "const" in schema else []:
        types |= {"integer"} if type(one) is int else _types_of(one)  # 2 makes no place for 1.10
    return types


def _types_of(found: Json) -> set[str]:
    if found is None:
        return {"null"}
    if isinstance(found, bool):
        return {"boolean"}
    if isinstance(found, int):
        return {"integer", "number"}
    return {"number"} if isinstance(found, float) else {"string"} if isinstance(found, str) else set()


def _firsts(schema: Mapping[str, Json]) -> list[Json]:
    """The schemas that the first items of a list have to themselves; pydantic 1 wrote them as its `items`."""
    listed = schema.get("prefixItems", schema.get("items"))
    return listed if isinstance(listed, list) else []


def _of_item(choices: list[Mapping[str, Json]], at: int) -> Json:
    """Whatever a list may hold at a position."""
    return {"anyOf": [(_firsts(choice)[at : at + 1] or [choice.get("items")])[0] for choice in choices]}


def _of_key(choices: list[Mapping[str, Json]], key: str) -> Json:
    """Whatever a mapping may hold at a key."""
    found: list[Json] = []
    for choice in choices:
        known = choice.get("properties")
        found.append(known[key] if isinstance(known, dict) and key in known else choice.get("additionalProperties"))
    return {"anyOf": found}


def _choices(schema: Json, root: Json) -> list[Mapping[str, Json]]:
    """A schema and what it refers to or combines, flat. Bounded: schemas are the user's, and may be circular."""
    found: list[Mapping[str, Json]] = []
    waiting = [schema]
    while waiting and len(found) < 30:
        one = waiting.pop(0)
        if not isinstance(one, dict) or any(one is other for other in found):
            continue
        found.append(one)
        waiting.append(_referred(one.get("$ref"), root))
        for keyword in ("anyOf", "oneOf", "allOf"):
            several = one.get(keyword)
            waiting.extend(several[:30] if isinstance(several, list) else ())
    return found


def _referred(reference: Json, root: Json) -> Json:
    if not isinstance(reference, str) or not reference.startswith("#/"):
        return None
    found = root
    for step in reference[2:].split("/"):
        found = found.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
    return found


def _implicit() -> dict[str, list[tuple[str, re.Pattern[str]]]]:
    """PyYAML's own table of plain scalars, without the types that stay text here."""
    table = yaml.resolver.Resolver.yaml_implicit_resolvers
    kept = _SCALAR_TAGS - {_STR}
    return {
        first: [(tag.removeprefix(_TAG), pattern) for tag, pattern in rows if tag.removeprefix(_TAG) in kept]
        for first, rows in table.items()
    }


_IMPLICIT = _implicit()
_CONSTRUCTOR = yaml.constructor.SafeConstructor()
_CONSTRUCT: Mapping[str, Callable[[yaml.ScalarNode], Any]] = {
    "null": lambda _node: None,
    "bool": _CONSTRUCTOR.construct_yaml_bool,
    "int": _CONSTRUCTOR.construct_yaml_int,
    "float": _CONSTRUCTOR.construct_yaml_float,
}


def _scalar_value(node: Scalar) -> Json:
    text, _, kind = node
    if not kind:
        kind = next((tag for tag, pattern in _IMPLICIT.get(text[:1], ()) if pattern.match(text)), _STR)
        if kind == _STR:
            return text
    if len(text) > LONGEST_NUMBER and kind != "null":
        raise BadYaml(f"line {node.line}: a number of {len(text)} characters; quote it to keep it as text")
    try:
        found: bool | int | float | None = _CONSTRUCT[kind](yaml.ScalarNode(_TAG + kind, text))
    except (ArithmeticError, LookupError, ValueError):
        raise BadYaml(f"line {node.line}: '{brief(text)}' is no {kind}; quote it to keep it as text") from None
    if isinstance(found, float) and not math.isfinite(found):
        raise BadYaml(
            f"line {node.line}: '{brief(text)}' is a number that JSON cannot hold; quote it to keep it as text"
        )
    return found


def _decoded(data: bytes, file: str) -> str:
    if len(data) > LARGEST:
        raise BadYaml(f"{file}: {len(data)} bytes, at most {LARGEST} are read; split it")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise BadYaml(f"{file}:1:1: it is UTF-16 or UTF-32 text; save it as UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig", errors="replace")
        raise BadYaml(f"{file}:{_line_column(before)}: it is not valid UTF-8; save it as UTF-8") from None


def _line_column(before: str) -> str:
    return f"{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"


def _build(text: str, file: str) -> Node | None:
    _refuse_directives(text, file)
    tree = _Tree(file)
    handlers: dict[type, Callable[[Any], None]] = {
        yaml.ScalarEvent: tree.scalar,
        yaml.AliasEvent: tree.alias,
        yaml.SequenceStartEvent: tree.open,
        yaml.SequenceEndEvent: tree.close,
        yaml.MappingStartEvent: tree.open,
        yaml.MappingEndEvent: tree.close,
        yaml.DocumentStartEvent: tree.document,
    }
    try:
        for event in iter(_LOADER(text).get_event, None):
            if (handler := handlers.get(type(event))) is not None:
                handler(event)
    except yaml.MarkedYAMLError as error:
        raise _rejected(error, text, file) from None
    except (yaml.YAMLError, ValueError, OverflowError):
        # A reader's error, or Python's scanner on an impossible escape such as \UFFFFFFFF.
        found = _UNPRINTABLE.search(text)
        where = f"{file}:{_line_column(text[: found.start()])}" if found else file
        what = f"the character '{shown(found[0])}' is not allowed" if found else "a character is not allowed"
        raise BadYaml(f"{where}: {what}; write it as an escape in double quotes, or remove it") from None
    return tree.root


def _refuse_directives(text: str, file: str) -> None:
    """`%TAG` serves only tags that are refused anyway, and libyaml's time grows with their square."""
    at = f"\n{text}".find("\n%TAG")
    if at >= 0:
        raise BadYaml(f"{file}:{_line_column(text[:at])}: %TAG directives are not supported; remove it")


def _rejected(error: yaml.MarkedYAMLError, text: str, file: str) -> BadYaml:
    at, start = error.problem_mark, error.context_mark
    if at is None or (start is not None and error.context in _WORDS):
        at = start
    line, column = (at.line, at.column) if at is not None else (0, 0)
    written = next(iter(text.split("\n", line + 1)[line : line + 1]), "")
    since = f" ({error.context} from line {start.line + 1} on)" if start is not None and start.line != line else ""
    if "maximum nesting depth" in (error.problem or ""):  # newer libyaml looks ahead, and stops at a bound of its own
        return BadYaml(f"{file}:{line + 1}:{column + 1}: {TOO_DEEP}")
    problem = shown(f"{error.problem or error.context}{since}")
    return BadYaml(f"{file}:{line + 1}:{column + 1}: {problem}; {_advice(written[column : column + 1], problem)}")


# Where these start says more than where they broke off.
_WORDS = frozenset(f"while scanning {what}" for what in ("an alias", "an anchor", "a tag"))


def _advice(first: str, problem: str) -> str:
    """What to do where the text that starts with `first` is not what YAML expects."""
    if first == "\t":
        return "indent with spaces, not with tabs"
    if first and first in "@`%*&!|>":
        return f"quote a text that starts with '{first}'"
    if "mapping values" in problem:
        return "quote a text that contains ': ', or correct the indentation"
    return "look at the quotes, brackets and indentation before it"


class _Open:
    """A collection whose end has not been read yet."""

    __slots__ = (
        *("anchor", "entries", "height", "items", "key", "line", "lines"),
        *("merge_line", "merged", "templated", "weight"),
    )

    def __init__(self, line: int, anchor: str | None, entries: dict[str, Node] | None) -> None:
        self.line = line
        self.anchor = anchor
        self.items: list[Node] = []
        self.entries = entries
        """None for a list."""
        self.lines: dict[str, int] = {}
        self.key: str | None = None
        """The key whose value comes next."""
        self.merge_line = 0
        """Where `<<` stands."""
        self.merged: list[Map] | None = None
        """What it takes; None until that was read."""
        self.weight = 1
        self.height = 1
        self.templated = False

    def measure(self, node: Node) -> None:
        """Count a child in, or a key."""
        if isinstance(node, Scalar):
            self.weight += _weight(node)
            self.templated = self.templated or "{{" in node.text
        else:
            self.weight += node.weight
            self.height = max(self.height, node.height + 1)
            self.templated = self.templated or node.templated

    def finish(self) -> Node:
        """The collection itself, merged keys filled in where it has none of its own (the first `<<` wins)."""
        if self.entries is None:
            return Seq(self.items, self.line, self.weight, self.height, self.templated)
        for source in self.merged or ():
            for key, node in source.entries.items():
                if key not in self.entries:
                    self.entries[key] = node
                    self.lines[key] = source.lines[key]
                    self.measure(Scalar(key, 0))
                    self.measure(node)
        return Map(self.entries, self.lines, self.line, self.weight, self.height, self.templated)


def _weight(node: Node) -> int:
    return 1 + (len(node.text) >> 5) if isinstance(node, Scalar) else node.weight


class _Tree:
    """The tree as far as it has been read."""

    __slots__ = ("anchors", "documents", "file", "root", "stack", "weight")

    def __init__(self, file: str) -> None:
        self.file = file
        self.root: Node | None = None
        self.stack: list[_Open] = []
        self.anchors: dict[str, Node | None] = {}
        """None while the anchored node itself is being read."""
        self.documents = 0
        self.weight = 0
        """Of all that was read, with every alias and merge counted as often as it stands."""

    def document(self, event: Any) -> None:
        self.documents += 1
        if self.documents > 1:
            self._fail(event, "a second document starts here; one file holds one document")

    def scalar(self, event: Any) -> None:
        text: str = event.value
        plain, quoted = event.implicit
        if not text.isascii() and _SURROGATE.search(text):
            self._fail(event, "an escape that is no character (a surrogate); write the character itself")
        node = Scalar(text, event.start_mark.line + 1, "" if plain else _STR if quoted else self._kind(event))
        if event.anchor is not None:
            self._declare(event, node)
        self._count(event, _weight(node))
        self._put(node, event)

    def _kind(self, event: Any) -> str:
        """Of a scalar with an explicit tag."""
        kind = str(event.tag).removeprefix(_TAG)
        if _TAG + kind != event.tag or kind not in (*_SCALAR_TAGS, "timestamp"):
            self._refuse_tag(event)
        return _STR if kind == "timestamp" else kind

    def alias(self, event: Any) -> None:
        name = event.anchor
        node = self.anchors.get(name)
        if node is None:
            reason = "stands inside the value that it names" if name in self.anchors else "names no anchor above it"
            self._fail(event, f"the alias '*{brief(name)}' {reason}; correct it, or quote a text that starts with '*'")
        self._count(event, _weight(node))
        self._put(node, event)

    def open(self, event: Any) -> None:
        entries: dict[str, Node] | None = {} if isinstance(event, yaml.MappingStartEvent) else None
        if event.tag is not None and event.tag not in ("!", _TAG + ("seq" if entries is None else "map")):
            self._refuse_tag(event)
        self._check_depth(event, 1)
        if event.anchor is not None:
            self._declare(event, None)
        self._count(event, 1)
        self.stack.append(_Open(event.start_mark.line + 1, event.anchor, entries))

    def close(self, event: Any) -> None:
        opened = self.stack.pop()
        node = opened.finish()
        if opened.anchor is not None:
            self.anchors[opened.anchor] = node
        self._put(node, event)

    def _put(self, node: Node, event: Any) -> None:
        """Give a finished node to the collection it stands in."""
        if not self.stack:
            self.root = node
            return
        top = self.stack[-1]
        if top.entries is None:
            top.items.append(node)
        elif top.key is not None:
            top.entries[top.key] = node
            top.key = None
        elif top.merge_line and top.merged is None:
            self._merge(top, node, event)
            return
        else:
            self._key(top, node, event)
            return
        top.measure(node)
        self._check_depth(event, top.height - 1)

    def _key(self, top: _Open, node: Node, event: Any) -> None:
        if not isinstance(node, Scalar):
            self._fail(event, 'a list or mapping cannot be a key; quote a template: "{{ $NAME }}"')
        key, line = node.text, event.start_mark.line + 1
        merging = key == _MERGE and not node.kind
        before = top.merge_line if merging else top.lines.get(key)
        if before:
            advice = "list them, as in <<: [*a, *b]" if merging else "remove one of them"
            self._fail(event, f"the key '{brief(key)}' stands on line {before} already; {advice}")
        if merging:
            top.merge_line = line
            return
        top.key = key
        top.lines[key] = line
        top.measure(node)

    def _merge(self, top: _Open, node: Node, event: Any) -> None:
        sources = node.items if isinstance(node, Seq) else [node]
        top.merged = []
        for source in sources:
            if not isinstance(source, Map):
                self._fail(event, "<< takes a mapping, or a list of mappings, as in <<: *name")
            # Each key of a source is looked at once more, whether it is taken or not.
            self._count(event, len(source.entries) + source.weight)
            self._check_depth(event, source.height - 1)
            top.merged.append(source)

    def _declare(self, event: Any, node: Node | None) -> None:
        if event.anchor in self.anchors:
            self._fail(event, f"the anchor '&{brief(event.anchor)}' is declared a second time; give it another name")
        self.anchors[event.anchor] = node

    def _count(self, event: Any, weight: int) -> None:
        self.weight += weight
        if self.weight > HEAVIEST:
            self._fail(event, f"aliases expanded, it holds more than {HEAVIEST} values; make it smaller")

    def _check_depth(self, event: Any, more: int) -> None:
        if len(self.stack) + more > DEEPEST:
            self._fail(event, TOO_DEEP)

    def _refuse_tag(self, event: Any) -> NoReturn:
        self._fail(event, f"the tag '{brief(str(event.tag))}' is not supported; write a plain value")

    def _fail(self, event: Any, reason: str) -> NoReturn:
        mark = event.start_mark
        raise BadYaml(f"{self.file}:{mark.line + 1}:{mark.column + 1}: {reason}")
