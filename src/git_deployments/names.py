"""Deployment names and their encoded form: pure strings (design, "Names").

A full name is `flow/deployment`, or one part alone. In a ref each half is percent-encoded where
git or a file system would refuse or confuse it. The encoding is total over valid names and
canonical: `decode` accepts exactly what `encode` produces, so no deployment has two refs.

The fast door imports this module, so it imports nothing that takes a millisecond.
"""

from __future__ import annotations

from git_deployments.errors import DeploymentsError

LONGEST = 200
"""Bytes that an encoded full name may have (design, "Names"), and a version's human name."""

RESERVED = frozenset(("live", "log", "versions", "sources", "head"))
"""Halves that would collide with a ref of ours, or with HEAD; compared without case."""

_BANNED = "/%&><"
_UNSAFE = frozenset(' ~^:?*[\\"|' + "".join(map(chr, range(32))) + "\x7f")
_DEVICES = frozenset(["con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))])
_TAKEN = RESERVED | _DEVICES


class BadName(DeploymentsError):
    """A text that cannot name a deployment."""


def check(name: str) -> None:
    """Raise `BadName` unless `name` is a full name that Prefect and git can both carry."""
    if _is_plain_name(name):
        return
    halves = name.split("/")
    if len(halves) > 2:
        raise BadName(f"bad name '{shown(name)}': at most one '/' is allowed, between flow and deployment")
    for half in halves:
        if not half:
            raise BadName(
                f"bad name '{shown(name)}': {'a half of it' if name else 'it'} is empty; write flow/deployment"
            )
        for character in half:
            if character in _BANNED:
                raise BadName(
                    f"bad name '{shown(name)}': '{character}' is not allowed (Prefect bans / % & > <); rename it"
                )
            if "\ud800" <= character <= "\udfff":
                raise BadName(f"bad name '{shown(name)}': it is not valid Unicode text; rename it")
        if half.lower() in RESERVED:
            raise BadName(
                f"bad name '{shown(name)}': '{half}' is reserved (live, log, versions, sources, HEAD); rename it"
            )
    length = len("/".join(map(encode_half, halves)).encode())
    if length > LONGEST:
        raise BadName(
            f"bad name '{shown(name)[:40]}…': {length} bytes once encoded, at most {LONGEST} are allowed; shorten it"
        )


def shown(text: str) -> str:
    """`text` with control, direction and undecodable characters escaped, fit for a message."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown_character(character) for character in text)


def _shown_character(character: str) -> str:
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def quoted(name: str) -> str:
    """A name as a shell takes it, for the commands that messages name.

    One that would be taken for an option, or that nobody can type, is encoded as in its ref: commands know it so, too.
    """
    option = name.startswith("-")
    if (
        not option
        and name.isascii()
        and name.replace("/", "").replace("-", "").replace("_", "").replace(".", "").isalnum()
    ):
        return name
    import shlex

    if option or shown(name) != name:
        try:
            return shlex.quote(encode(name))
        except BadName:  # it is another text than a name
            pass
    return shlex.quote(shown(name))


def encode(name: str) -> str:
    """The ref form of a full name: `my flow/prod` becomes `my%20flow/prod`. Raises `BadName`."""
    if _is_plain_name(name):
        return name
    check(name)
    return "/".join(map(encode_half, name.split("/")))


def decode(encoded: str) -> str:
    """The full name of a ref form. Raises `BadName` where `encode` would not have written it so."""
    if _is_plain_name(encoded):
        return encoded
    try:
        name = "/".join(map(decode_half, encoded.split("/")))
        if encode(name) == encoded:
            return name
    except (ValueError, BadName):
        pass
    raise BadName(f"'{shown(encoded)}' is not the encoded form of a deployment's name")


def encode_half(half: str) -> str:
    """One part of a name, or of a remote's, as a single component of a ref."""
    if _is_plain(half):
        return half
    encode_at = _risky_places(half)
    return "".join(_percent(c) if i in encode_at or c in _UNSAFE else c for i, c in enumerate(half))


def _is_plain_name(name: str) -> bool:
    """A name that needs no closer look; thousands are looked at for a list."""
    flow, slash, half = name.rpartition("/")
    return len(name) <= LONGEST and _is_plain(half) and (not slash or _is_plain(flow))


def _is_plain(half: str) -> bool:
    plain = half.replace("-", "").replace("_", "")
    return half.isascii() and plain.isalnum() and half[0] != "-" and half.lower() not in _TAKEN


def _risky_places(half: str) -> set[int]:
    """Positions of characters that are only unsafe where they stand."""
    last = len(half) - 1
    places: set[int] = set()
    if half[0] in ".-":
        places.add(0)
    if half[last] == ".":
        places.add(last)
    if half[-5:].lower() == ".lock":
        places.add(last - 4)
    for i in range(1, last + 1):
        if half[i] == "." == half[i - 1]:
            places.add(i)
        if half[i] == "{" and half[i - 1] == "@":
            places.add(i - 1)
    if half == "@":
        places.add(0)
    if half.split(".", 1)[0].rstrip(" ").lower() in _DEVICES:
        places.add(0)
    if not half.isascii():
        places |= _confusable_places(half)
    return places


def _confusable_places(half: str) -> set[int]:
    """Positions of characters beyond ASCII that look like nothing, or that NFC would rewrite.

    By Unicode 3.2, which every Python has beside its own: the encoding must not change with the
    version of Python, so what came later is always encoded.
    """
    from unicodedata import ucd_3_2_0 as unicode

    places = {i for i, c in enumerate(half) if not c.isascii() and unicode.category(c)[0] in "CZ"}
    if unicode.normalize("NFC", half) != half:
        places |= {i for i, c in enumerate(half) if not c.isascii()}
    return places


def _percent(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode())


def decode_half(half: str) -> str:
    """A text whose characters `encode_half` may have encoded. Raises `ValueError`."""
    first, *rest = half.split("%")
    data = bytearray(first.encode())
    for piece in rest:
        data.append(int(piece[:2], 16))
        data += piece[2:].encode()
    return data.decode()


def fold(name: str) -> str:
    """The form in which two names collide: without case and without Unicode form."""
    if name.isascii():
        return name.lower()
    import unicodedata

    return unicodedata.normalize("NFC", unicodedata.normalize("NFKD", name).casefold())


def brief(text: str) -> str:
    """`text` fit for a message: escaped, and its first 80 characters at most."""
    return shown(text if len(text) <= 80 else f"{text[:80]}…")


def label_fault(text: str) -> str | None:
    """Why a text cannot be the human name of a version (design, "Commands"), as a clause; None if it can."""
    if not text.strip():
        return "it is empty"
    if not text.isprintable() or text != text.strip():
        return "it must be one line, without control characters and without blanks around it"
    if len(text.encode()) > LONGEST:
        return f"it is longer than {LONGEST} bytes"
    if text in ("live", "latest", "previous"):
        return f"'{text}' means something else where a version is named"
    return None
