"""The documents of versions and events, which are canonical JSON: UTF-8, sorted keys, indent 2, not ASCII-escaped, no
NaN, one final newline (design, "Version commit").
"""

from collections.abc import Callable, Mapping
from functools import lru_cache

from git_deployments.codec import Malformed
from git_deployments.errors import DeploymentsError
from git_deployments.git import Object
from git_deployments.model import PROPERTIES, SETTINGS, Json
from git_deployments.names import shown

DEEPEST = 100
"""Levels of a document that readers accept; a manifest may have fewer (`yamltext.DEEPEST`)."""
_SHORT = 1000
"""Bytes of a member that is looked at once where it comes again; of what is longer nothing is kept."""


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
