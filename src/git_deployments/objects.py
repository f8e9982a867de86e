"""Three ways to write objects behind one small interface; the only importer of pygit2.

- `Loose`: one git process an object. For the one commit that a rollback or promote makes: no import.
- `Odb`: libgit2. For a deploy.
- `Pack`: one pack stream into git. For many deployments at once, and for SHA-256 repositories,
  which libgit2 cannot write.

Whichever it is, the objects are on disk and flushed after `finish`, and no ref points at them yet.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` itself imports too much
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from git_deployments.errors import DeploymentsError
from git_deployments.git import DURABLE, Git, GitFailed
from git_deployments.repository import Repository

if TYPE_CHECKING:
    from git_deployments.signing import Sign

MANY = 50
"""Deployments from which on one pack is faster than loose objects."""
_UNPACK_BELOW = 100
"""Objects below which a pack is unpacked, so that small writes leave no small packs behind."""


class Objects(Protocol):
    """Where new objects go."""

    written: list[str]
    """Ids, in order."""

    def write(self, kind: str, data: bytes) -> str:
        """Add a `blob`, `tree` or `commit`; its id."""

    def finish(self) -> None:
        """Return once all are durable. Raises `GitFailed` where they cannot be written."""


def moving(repository: Repository) -> Objects:
    """For writes that make an event and no version."""
    return _signed(repository, Loose(repository.git))


def creating(repository: Repository, deployments: int) -> Objects:
    """For writes that make versions of so many deployments."""
    if repository.layout.hash != "sha1" or deployments >= MANY:
        return _signed(repository, Pack(repository.git, repository.layout.hash))
    return _signed(repository, Odb(os.path.join(repository.layout.common_dir, "objects")))


def _signed(repository: Repository, target: Objects) -> Objects:
    if repository.setting("sign") is None and "commit.gpgsign" not in repository.config:
        return target
    from git_deployments.signing import signer

    sign = signer(repository)
    return Signed(target, sign) if sign else target


class Signed:
    """Whatever way objects go, commits get their signature before."""

    def __init__(self, target: Objects, sign: Sign) -> None:
        self._target = target
        self._sign = sign
        self.written = target.written

    def write(self, kind: str, data: bytes) -> str:
        """See `Objects`."""
        return self._target.write(kind, self._sign(data) if kind == "commit" else data)

    def finish(self) -> None:
        """See `Objects`."""
        self._target.finish()


_T = TypeVar("_T")

_GC_WAIT = 2.0
"""Seconds in which a write is tried again beside `git gc`, which goes through its 256 directories in a moment."""


def _beside_gc(write: Callable[[], _T], failure: type[Exception] = GitFailed) -> _T:
    """Write, and again where `git gc` removed a directory that it had emptied just before a file was to go there."""
    until = time.monotonic() + _GC_WAIT
    while True:
        try:
            return write()
        except (failure, OSError) as error:
            if "No such file or directory" not in str(error) or time.monotonic() > until:
                raise


class Loose:
    """Loose objects, one git process each."""

    def __init__(self, git: Git) -> None:
        self._git = git
        self.written: list[str] = []

    def write(self, kind: str, data: bytes) -> str:
        """See `Objects`."""
        self.written.append(_beside_gc(lambda: self._git.store(kind, data)))
        return self.written[-1]

    def finish(self) -> None:
        """Nothing is left to do: each was durable when its id came back."""


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """^C is heard afterwards. Below, modules in C make an import error of one that comes while they import others."""
    if not hasattr(_signal, "pthread_sigmask"):
        yield
        return
    before = _signal.pthread_sigmask(_signal.SIG_BLOCK, (_signal.SIGINT,))
    try:
        yield
    finally:
        _signal.pthread_sigmask(_signal.SIG_SETMASK, before)


class Odb:
    """Loose objects through libgit2, which checks no reference between them and needs no open repository."""

    def __init__(self, directory: str) -> None:
        with _uninterrupted():
            import pygit2

        pygit2.settings.enable_fsync_gitdir(True)
        self._kinds = {
            "blob": pygit2.enums.ObjectType.BLOB,
            "tree": pygit2.enums.ObjectType.TREE,
            "commit": pygit2.enums.ObjectType.COMMIT,
        }
        self._failure = pygit2.GitError
        self._odb = pygit2.Odb(directory)
        self.written: list[str] = []

    def write(self, kind: str, data: bytes) -> str:
        """See `Objects`."""
        try:
            oid = str(_beside_gc(lambda: self._odb.write(self._kinds[kind], data), self._failure))
        except (self._failure, OSError) as error:
            raise DeploymentsError(f"an object cannot be written: {error}; nothing was changed") from None
        self.written.append(oid)
        return oid

    def finish(self) -> None:
        """Nothing is left to do: each was durable when its id came back."""


class Pack:
    """All objects in one pack stream that git checks, stores and flushes at once."""

    def __init__(self, git: Git, hash_: str) -> None:
        import hashlib

        self._git = git
        self._hash = getattr(hashlib, hash_)
        self._objects: dict[str, bytes] = {}
        self.written: list[str] = []

    def write(self, kind: str, data: bytes) -> str:
        """See `Objects`."""
        oid = _oid(self._hash, kind, data)
        if oid not in self._objects:
            self._objects[oid] = _packed(kind, data)
            self.written.append(oid)
        return oid

    def finish(self) -> None:
        """See `Objects`."""
        count = len(self._objects)
        body = b"PACK" + (2).to_bytes(4, "big") + count.to_bytes(4, "big") + b"".join(self._objects.values())
        stream = body + self._hash(body).digest()
        unpack = ("unpack-objects", "-q") if count < _UNPACK_BELOW else ("index-pack", "--stdin")
        if count:
            _beside_gc(lambda: self._git.run(*DURABLE, *unpack, stdin=stream))
        self._objects.clear()


class Unwritten:
    """Objects that have ids and go nowhere: for what a write would do."""

    def __init__(self, hash_: str) -> None:
        import hashlib

        self._hash = getattr(hashlib, hash_)
        self.written: list[str] = []

    def write(self, kind: str, data: bytes) -> str:
        """See `Objects`."""
        return _oid(self._hash, kind, data)

    def finish(self) -> None:
        """Nothing was to be written."""


def _oid(hash_: Any, kind: str, data: bytes) -> str:
    oid: str = hash_(f"{kind} {len(data)}\0".encode() + data).hexdigest()
    return oid


_PACK_KINDS = {"commit": 1, "tree": 2, "blob": 3}


def _packed(kind: str, data: bytes) -> bytes:
    """One entry of a pack (git manual, gitformat-pack): kind and size, then the deflated bytes."""
    import zlib

    size = len(data)
    header = bytearray([_PACK_KINDS[kind] << 4 | size & 15])
    size >>= 4
    while size:
        header[-1] |= 0x80
        header.append(size & 0x7F)
        size >>= 7
    return bytes(header) + zlib.compress(data, 1)
