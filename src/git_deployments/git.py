"""The only runner of the git binary. It knows git's plumbing and none of our words.

git owns the refs and the wire, and reads objects: it verifies ref names, takes locks in the right
order, fetches what a partial clone lacks and says at once when an object is damaged.

`subprocess` is not used where the system has `posix_spawn`: its import alone costs as much as
two git processes, and questions at a prompt are made of little else.
"""

from __future__ import annotations

import errno
import os
import select
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import NamedTuple

from git_deployments.errors import DeploymentsError
from git_deployments.names import shown

DURABLE = ("-c", "core.fsync=committed,loose-object,pack-metadata,reference", "-c", "core.fsyncMethod=fsync")
"""Neither objects nor refs are flushed by default (git manual, core.fsync)."""

LOCK_WAIT = ("-c", "core.filesRefLockTimeout=2000", "-c", "core.packedRefsTimeout=5000")
"""Milliseconds that git itself waits for somebody else's lock before it gives up."""

_FIRST_REF = ("-c", "core.warnAmbiguousRefs=false")
"""The ref of exactly that name comes first (git manual, gitrevisions); git need not look for five others to warn of."""

CONFIG = ("config", "-z", "--list")
STORE = (*DURABLE, "hash-object", "-w", "--stdin", "-t")
"""Reads one object of the kind named next, then writes it."""
_UPDATE_REF = (*LOCK_WAIT, "update-ref", "--no-deref", "--stdin", "-z")
MOVE_REFS = (*DURABLE, *_UPDATE_REF)
"""Reads its whole input before it locks a ref."""
_REFS = ("for-each-ref", "--format=%(objectname) %(symref) %(refname)")

BULK = 1000
"""Refs that are packed once they were moved together: loose ones are listed many times slower."""

SYMBOLIC = "symbolic"
"""Stands for the object id of a symbolic ref."""
_CHUNK = 1 << 16
_WIDE = 1 << 20
"""Bytes of a wide pipe: as many as Linux lets a user have (pipe(7), /proc/sys/fs/pipe-max-size)."""
_SIGPIPE = 13


class GitFailed(DeploymentsError):
    """git ended with an error; the message is what it said, on one line."""

    def __init__(self, arguments: tuple[str, ...], code: int, stderr: str) -> None:
        self.code = code
        self.stderr = stderr
        super().__init__(_one_line(stderr) or f"git {_subcommand(arguments)} ended with status {code} and no message")


class GitMissing(DeploymentsError):
    """There is no git to run."""


class ProgramMissing(DeploymentsError):
    """A program that git's configuration names is not there, or does not start."""


class NotARepository(DeploymentsError):
    """The directory belongs to no repository, or git refuses to use it."""


class Damaged(DeploymentsError):
    """An object is missing or cannot be read."""

    remedy = ", and 'git deployments pull --repair' fetches it again"

    def __init__(self, oid: str, what: str) -> None:
        self.oid = oid
        super().__init__(f"object {shown(oid)} {what}; 'git deployments fsck' tells what needs it{self.remedy}")


class Oversized(Damaged):
    """An object is larger than what is read of it."""

    remedy = ""

    def __init__(self, oid: str, size: int, largest: int) -> None:
        self.size = size
        super().__init__(oid, f"has {size} bytes, more than the {largest} that are allowed")


class LostRace(DeploymentsError):
    """A ref no longer had the value that the transaction expected of it. Nothing was moved."""


class Locked(DeploymentsError):
    """Somebody's lock file stayed for longer than we wait. Nothing was moved."""


class RefChange(NamedTuple):
    """One line of a ref transaction; the old value is always named."""

    ref: str
    new: str | None
    """None deletes the ref."""
    old: str | None
    """None: the ref must not exist. Equal to `new`: only verified."""


class Object(NamedTuple):
    """A raw object: `commit`, `tree`, `blob` or `tag`, and its bytes."""

    oid: str
    kind: str
    data: bytes


class Git(NamedTuple):
    """git in one directory with one environment."""

    directory: str
    environment: Mapping[str, str]
    ahead: dict[tuple[str, ...], Process]
    """Started before their turn, by their arguments: they come up beside us while we import and think."""

    def start(self, *arguments: str, stdin: int | None = None) -> Process:
        """Start git without waiting for it. `stdin`: a descriptor to read from, else our input."""
        if self.ahead and stdin is None and arguments in self.ahead:
            return self.ahead.pop(arguments)
        where = () if self.directory == "." else ("-C", self.directory)
        return _spawn(("git", *where, *arguments), self.environment, stdin)

    def foresee(self, *arguments: str) -> None:
        """Start what `start` will be asked for next; it must not matter if it looks at the repository earlier."""
        self.ahead[arguments] = self.start(*arguments)

    def forget(self) -> None:
        """End what was foreseen and did not come."""
        while self.ahead:
            self.ahead.popitem()[1].stop()

    def ask(self, *arguments: str, stdin: bytes = b"") -> tuple[int, bytes, str]:
        """Exit status, standard output and standard error. Raises `NotARepository`."""
        return self.start(*arguments).finish(stdin)

    def run(self, *arguments: str, stdin: bytes = b"") -> bytes:
        """Standard output. Raises `GitFailed` where git ends with an error."""
        return self.start(*arguments).result(stdin)

    def line(self, *arguments: str) -> str | None:
        """Standard output without its newline; None where git says no or prints nothing."""
        code, out, _ = self.ask(*arguments)
        return text(out).removesuffix("\n") or None if code == 0 else None

    def config(self) -> dict[str, list[str]]:
        """The whole configuration: lower-case key (a subsection's case kept) to values, last wins."""
        return parse_config(self.run(*CONFIG))

    def refs(self, *patterns: str) -> list[tuple[str, str]]:
        """(ref, object id) of all that match, by name. Opens no object; broken refs are skipped.

        A symbolic ref has `SYMBOLIC` for an id: what it leads to is another ref's business.
        """
        out = text(self.run(*_REFS, *patterns))
        rows = (line.split(" ") for line in out.split("\n")[:-1])
        return [(ref, SYMBOLIC if target else oid) for oid, target, ref in rows]

    def foresee_refs(self, *patterns: str) -> None:
        """`refs` of these patterns will be asked for next."""
        self.foresee(*_REFS, *patterns)

    def move_refs(self, changes: Iterable[RefChange], flushed: bool = True) -> None:
        """Make all the changes or none, in their order. Raises `LostRace`, `Locked`, `GitFailed`.

        `flushed`: each by itself; else, where there are `BULK` or more, as the one file that they are packed into.
        """
        lines = [_ref_line(change) for change in changes]
        arguments = MOVE_REFS if flushed or len(lines) < BULK else _UPDATE_REF
        code, _, stderr = self.ask(*arguments, stdin="".join(lines).encode("utf-8", "surrogateescape"))
        if code:
            raise _ref_failure(arguments, code, stderr)
        self.pack_refs(len(lines))

    def pack_refs(self, moved: int) -> None:
        """Put all refs into one file where so many were `moved` that files of their own would slow all that follows.

        As `git gc` would, later; that it cannot be done now takes nothing from what was moved.
        """
        if moved >= BULK:
            self.ask(*DURABLE, "pack-refs", "--all")

    def commits(
        self, start: str, *, skip: int = 0, limit: int | None = None, largest: int | None = None
    ) -> Iterator[Object]:
        """The chain of first parents from `start`, newest first, in constant memory of ours.

        Closing the iterator ends the processes behind it. Raises `Oversized` at one of more than `largest` bytes.
        """
        count = () if limit is None else (f"--max-count={limit}",)
        walk = self.start("rev-list", "--first-parent", f"--skip={skip}", *count, "--end-of-options", start, "--")
        walk.close_stdin()
        reading = self.start("cat-file", "--batch", "--buffer", stdin=walk.give_stdout())
        try:
            yield from _batch_objects(reading, walk, largest)
            reading.result()
            walk.result()
        finally:
            reading.stop()
            walk.stop()

    def unreadable(self, tips: list[str], commits: int | None) -> str | None:
        """What git says of the first object that it cannot read, of all that these commits reach; None if all are well.

        `commits`: how many, the newest by their dates; None: all. What a partial clone left at its remote is well.
        """
        options = ("--objects", "--no-object-names", "--exclude-promisor-objects")
        count = () if commits is None else (f"--max-count={commits}",)
        walk = self.start("rev-list", *options, *count, "--stdin")
        reading = self.start("cat-file", "--batch", "--buffer", stdin=walk.give_stdout())
        try:
            walk.tell("".join(f"{tip}\n" for tip in tips).encode())
            for _ in _batch_objects(reading, walk, None):
                pass
            ended = [process.finish() for process in (reading, walk)]
        except Damaged as damage:
            return f"object {damage.oid} is missing, or its file is empty"
        finally:
            reading.stop()
            walk.stop()
        return next((_one_line(stderr) or "an object cannot be read" for code, _, stderr in ended if code), None)

    def store(self, kind: str, data: bytes) -> str:
        """Write one loose object durably; its id."""
        return text(self.run(*STORE, kind, stdin=data)).strip()


def at(directory: str, environment: Mapping[str, str]) -> Git:
    """git in `directory`, its messages untranslated and replacement objects not followed."""
    fixed = {"LC_ALL": "C", "LANGUAGE": "", "GIT_NO_REPLACE_OBJECTS": "1", "GIT_OPTIONAL_LOCKS": "0"}
    return Git(directory, {**environment, **fixed}, {})


def program(arguments: tuple[str, ...], environment: Mapping[str, str]) -> Process:
    """Start a program that git would start, as git's configuration names it. Raises `ProgramMissing`."""
    return _spawn(arguments, environment, None)


def text(data: bytes) -> str:
    """What git printed, as text that turns back into the same bytes."""
    return data.decode("utf-8", "surrogateescape")


def parse_config(listing: bytes) -> dict[str, list[str]]:
    """The output of `git config -z --list`. A key without a value is `true`."""
    values: dict[str, list[str]] = {}
    for item in text(listing).split("\0")[:-1]:
        key, has_value, value = item.partition("\n")
        values.setdefault(key, []).append(value if has_value else "true")
    return values


class Reading:
    """One `git cat-file --batch` for many questions; started with the first one.

    Raises `Damaged` for an object that is missing or cannot be read; the next question then
    starts a new process.
    """

    largest: int | None = None
    """Bytes; a larger object is not read, and `Oversized` is raised. None: any size is read."""

    def __init__(self, git: Git) -> None:
        self._git = git
        self._process: Process | None = None
        self._buffer = b""
        self._ahead: dict[str, Object] = {}
        self._foreseen: tuple[bytes, Process, memoryview] | None = None
        """What `much` will be asked, who answers it, and what of the question it has not been given yet."""

    def __del__(self) -> None:
        self.close()

    def start(self) -> None:
        """Start the process ahead of the first question."""
        self._process = self._process or self._git.start(*_FIRST_REF, "cat-file", "--batch")

    def object(self, oid: str, largest: int | None = None) -> Object:
        """The object of a full id. Raises `Oversized` where it has more than `largest` bytes (None: `self.largest`)."""
        found = self.find(oid, largest)
        if found is None:
            raise Damaged(oid, "is missing from the repository")
        return found

    def find(self, name: str, largest: int | None = None) -> Object | None:
        """The object of any name that git knows (`<commit>:path`); None where there is none."""
        found = self._ahead.get(name)
        if found is None:
            return self.several([name], largest)[0]
        if largest is not None and len(found.data) > largest:
            raise Oversized(name, len(found.data), largest)
        return found

    def ahead(self, names: Iterable[str], held: int) -> list[Object]:
        """What `much` finds, which will be asked for by id, until `forget`; what it does not find is read then."""
        found = self.much(names, held)
        self._ahead.update((one.oid, one) for one in found)
        return found

    def holds(self, oid: str) -> bool:
        """Whether it has been read ahead."""
        return oid in self._ahead

    def much(self, names: Iterable[str], held: int | None = None) -> list[Object]:
        """The objects of any names that git knows (`<commit>:path`), asked all at once, in their order.

        Without those that are missing or larger than `largest`, and only up to the first that cannot be read, or that
        would make git's answer longer than `held` bytes.
        """
        wanted = _questions(names)
        if not wanted:
            return []
        if self._foreseen and self._foreseen[0] == wanted:
            (_, process, rest), self._foreseen = self._foreseen, None
        else:
            process, rest = self._questioned(wanted)
        _, out, _ = process.finish(rest, most=held)
        if held is not None and len(out) > held:
            out = out[:held]
        return [one for one in _parse_batch(out) if self.largest is None or len(one.data) <= self.largest]

    def foresee(self, names: Iterable[str]) -> None:
        """`much` or `ahead` will be asked for these: git reads them beside us, as far as a pipe holds them."""
        wanted = _questions(names)
        if self._foreseen and self._foreseen[0] == wanted:
            return
        if self._foreseen:
            self._foreseen[1].stop()
        self._foreseen = (wanted, *self._questioned(wanted)) if wanted else None

    def _questioned(self, wanted: bytes) -> tuple[Process, memoryview]:
        """A process that reads, and what it could not be told yet."""
        process = self._git.start(*_FIRST_REF, "cat-file", "--batch", "--buffer")
        process.widen()
        return process, process.feed(memoryview(wanted))

    def together(self, names: list[str], held: int | None = None) -> None:
        """As `ahead`, for a few short names, with no process more; one that is missing or damaged is met later."""
        with suppress(Damaged):
            for one in self._answers(names, self.largest) if names else ():
                if one:
                    self._ahead[one.oid] = one
                if one and held is not None and (held := held - len(one.data)) < 0:
                    break

    def forget(self) -> None:
        """Let go of what `ahead` and `together` read."""
        self._ahead.clear()

    def several(self, names: list[str], largest: int | None = None) -> list[Object | None]:
        """What `find` says of each, asked at once: a few short names, whose questions fit into a pipe."""
        if any("\n" in name for name in names):
            return [None if "\n" in name else self.find(name, largest) for name in names]
        return list(self._answers(names, self.largest if largest is None else largest))

    def _answers(self, names: list[str], largest: int | None) -> Iterator[Object | None]:
        try:
            process = self._ask(names)
            for name in names:
                yield self._answer(process, name, largest)
        except BaseException:  # among them that nobody takes the rest
            self.close()  # the rest of the answers must not be taken for those to the next question
            raise

    def _ask(self, names: list[str]) -> Process:
        process = self._process or self._git.start(*_FIRST_REF, "cat-file", "--batch")
        self._process = process
        try:
            os.write(process.stdin, "".join(f"{name}\n" for name in names).encode("utf-8", "surrogateescape"))
        except OSError:
            raise self._died(names[0]) from None
        return process

    def _answer(self, process: Process, name: str, largest: int | None) -> Object | None:
        try:
            header = self._until_newline(process)
        except OSError:
            header = b""
        words = header.split(b" ")
        if len(words) != 3 or not words[2].isdigit():
            if header.endswith((b" missing", b" ambiguous")):
                return None
            raise self._died(name)
        size = int(words[2])
        if largest is not None and size > largest:
            raise Oversized(words[0].decode(), size, largest)
        data = self._exactly(process, size + 1)
        if len(data) != size + 1:
            raise self._died(name)
        return Object(words[0].decode(), words[1].decode(), data[:-1])

    def many(self, oids: Iterable[str]) -> dict[str, Object]:
        """Those of `oids` that are here and readable, all asked at once."""
        wanted = list(dict.fromkeys(oids))
        objects = {one.oid: one for one in self.much(wanted)} if len(wanted) > _FEW else {}
        # git stops at the first object that it cannot read: those after it are asked one by one.
        missing = [oid for oid in wanted if oid not in objects]
        objects.update((oid, one) for oid in missing if (one := self._readable(oid)))
        return objects

    def close(self) -> None:
        """End the processes, if any."""
        if self._foreseen:
            self._foreseen[1].stop()
            self._foreseen = None
        if self._process:
            self._process.stop()
            self._process = None
            self._buffer = b""

    def _readable(self, oid: str) -> Object | None:
        try:
            return self.find(oid)
        except Damaged:
            return None

    def _died(self, name: str) -> DeploymentsError:
        process, self._process, self._buffer = self._process, None, b""
        if process is None:
            return Damaged(name, "cannot be read")
        code, _, stderr = process.finish()
        if code == 128 and "not a git repository" in stderr:
            return _not_a_repository(stderr)
        return Damaged(name, f"cannot be read ({_one_line(stderr) or 'git cat-file gave no reason'})")

    def _until_newline(self, process: Process) -> bytes:
        while b"\n" not in self._buffer:
            chunk = process.read()
            if not chunk:
                return b""
            self._buffer += chunk
        header, _, self._buffer = self._buffer.partition(b"\n")
        return header

    def _exactly(self, process: Process, size: int) -> bytes:
        parts = [self._buffer]
        have = len(self._buffer)
        while have < size:
            chunk = process.read(size - have)
            if not chunk:
                break
            parts.append(chunk)
            have += len(chunk)
        whole = b"".join(parts)
        self._buffer = whole[size:]
        return whole[:size]


def _questions(names: Iterable[str]) -> bytes:
    """What `cat-file --batch` is asked, each once."""
    return "".join(f"{name}\n" for name in dict.fromkeys(names)).encode()


_NO_REPOSITORY = ("not a git repository", "dubious ownership", "fatal: cannot change to ")


_FEW = 32
"""Objects that are asked for one by one: no process starts."""


class Process:
    """A git process whose standard output and error are ours to read."""

    def __init__(self, arguments: tuple[str, ...], pid: int, descriptors: tuple[int, int, int]) -> None:
        self.arguments = arguments
        self.pid = pid
        self.stdin, self.stdout, self._stderr = descriptors
        self._status: int | None = None
        self._said = b""

    def finish(
        self, stdin: bytes | memoryview = b"", echo: Callable[[bytes], None] | None = None, most: int | None = None
    ) -> tuple[int, bytes, str]:
        """Feed `stdin`, read everything, wait. `echo` gets standard error as it comes. Raises `NotARepository`.

        Once there are more than `most` bytes of standard output, it is closed.
        """
        try:
            out, err = self._pump(memoryview(stdin), echo, most)
        except BaseException:
            self.stop()
            raise
        code = self._wait()
        stderr = err.decode("utf-8", "replace")
        if code == 128 and any(sign in stderr for sign in _NO_REPOSITORY):
            raise _not_a_repository(stderr)
        return code, out, stderr

    def result(self, stdin: bytes = b"", echo: Callable[[bytes], None] | None = None) -> bytes:
        """Standard output. Raises `GitFailed` where the process ends with an error."""
        code, out, stderr = self.finish(stdin, echo)
        if code:
            raise GitFailed(self.arguments, code, stderr)
        return out

    def read(self, size: int = 0, beside: Process | None = None) -> bytes:
        """Some of standard output, `size` bytes if that many are there; empty at its end.

        What is said on standard error meanwhile, here and `beside`, is kept for `finish`, so that its
        pipe never fills.
        """
        speakers = [self, beside] if beside else [self]
        while True:
            heard = [one._stderr for one in speakers if one._stderr >= 0]
            ready = _ready([self.stdout, *heard], -1)
            for speaker in speakers:
                if speaker._stderr in ready:
                    speaker._listen()
            if self.stdout in ready:
                return os.read(self.stdout, max(_CHUNK, size))

    def _listen(self) -> None:
        chunk = os.read(self._stderr, _CHUNK)
        self._said = (self._said + chunk)[-_CHUNK:]
        if not chunk:
            os.close(self._stderr)
            self._stderr = -1

    def widen(self) -> None:
        """Let the pipes hold more than a few objects, where the system does that."""
        import fcntl

        size = getattr(fcntl, "F_SETPIPE_SZ", None)
        for descriptor in (self.stdin, self.stdout):
            if size is not None and descriptor >= 0:
                with suppress(OSError):  # this user has as much of it as one may have
                    fcntl.fcntl(descriptor, size, _WIDE)

    def feed(self, stdin: memoryview) -> memoryview:
        """Give the process as much of its input as its pipe takes at once; the rest, which `finish` gives it."""
        os.set_blocking(self.stdin, False)
        return self._feed(stdin)

    def tell(self, data: bytes) -> None:
        """Give the process its whole input; it must read that before it says anything."""
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self.stdin, view[:_CHUNK]) :]
        except BrokenPipeError:  # it has ended, and tells why
            pass
        self.close_stdin()

    def close_stdin(self) -> None:
        """Tell the process that no input comes."""
        if self.stdin >= 0:
            os.close(self.stdin)
            self.stdin = -1

    def give_stdout(self) -> int:
        """The descriptor of standard output, for another process to read; no longer ours."""
        descriptor, self.stdout = self.stdout, -1
        return descriptor

    def stop(self) -> None:
        """End the process if it still runs and let go of everything."""
        for descriptor in (self.stdin, self.stdout, self._stderr):
            if descriptor >= 0:
                os.close(descriptor)
        self.stdin = self.stdout = self._stderr = -1
        if self._status is None:
            os.kill(self.pid, 15)  # not reaped yet, so the number is still this process's
            self._wait()

    def _wait(self) -> int:
        if self._status is None:
            try:
                _, status = os.waitpid(self.pid, 0)
            except ChildProcessError:  # who started us ignores its children, so nobody learns how they end
                status = 0
            self._status = os.waitstatus_to_exitcode(status)
        return self._status

    def _pump(self, stdin: memoryview, echo: Callable[[bytes], None] | None, most: int | None) -> tuple[bytes, bytes]:
        if not stdin:
            self.close_stdin()
        else:
            os.set_blocking(self.stdin, False)
        out: list[bytes] = []
        err: list[bytes] = [self._said]
        reading = {fd: chunks for fd, chunks in ((self.stdout, out), (self._stderr, err)) if fd >= 0}
        while reading or self.stdin >= 0:
            ready = _ready(reading, self.stdin)
            for descriptor in [one for one in reading if one in ready]:
                chunk = os.read(descriptor, _CHUNK)
                if not chunk:
                    del reading[descriptor]
                    continue
                reading[descriptor].append(chunk)
                if most is not None and descriptor == self.stdout and (most := most - len(chunk)) < 0:
                    del reading[descriptor]
                    os.close(descriptor)
                    self.stdout = -1
                if echo and descriptor == self._stderr:
                    echo(chunk)
            if self.stdin in ready:
                stdin = self._feed(stdin)
        self._close_outputs()
        return b"".join(out), b"".join(err)

    def _feed(self, stdin: memoryview) -> memoryview:
        try:
            stdin = stdin[os.write(self.stdin, stdin) :]
        except BlockingIOError:
            return stdin
        except BrokenPipeError:
            stdin = stdin[:0]
        if not stdin:
            self.close_stdin()
        return stdin

    def _close_outputs(self) -> None:
        for descriptor in (self.stdout, self._stderr):
            if descriptor >= 0:
                os.close(descriptor)
        self.stdout = self._stderr = -1


def _spawn(arguments: tuple[str, ...], environment: Mapping[str, str], stdin: int | None) -> Process:
    """Start a program. A descriptor given as `stdin` is ours no longer."""
    pipes = _pipes(2 if stdin is not None else 3)
    (out_read, out_write), (err_read, err_write) = pipes[:2]
    in_read, in_write = pipes[2] if stdin is None else (stdin, -1)
    ends = (in_read, out_write, err_write)
    try:
        pid = os.posix_spawnp(
            arguments[0],
            arguments,
            environment,
            file_actions=[(os.POSIX_SPAWN_DUP2, end, target) for target, end in enumerate(ends)],
            setsigdef=[_SIGPIPE],
        )
    except OSError as error:
        for descriptor in (*ends, out_read, err_read, in_write):
            if descriptor >= 0:
                os.close(descriptor)
        if arguments[0] != "git":
            raise ProgramMissing(f"{shown(arguments[0])} cannot be started: {error.strerror}") from None
        if isinstance(error, FileNotFoundError):
            raise GitMissing("git is not on the PATH; install it (2.34 or newer)") from None
        if error.errno == errno.E2BIG:
            raise DeploymentsError(
                f"git {_subcommand(arguments)} cannot take so much at once; name some of the deployments"
            ) from None
        raise DeploymentsError(f"git cannot be started: {error.strerror}; see that PATH names a working git") from None
    for descriptor in ends:
        os.close(descriptor)
    return Process(arguments, pid, (in_write, out_read, err_read))


def _pipes(count: int) -> list[tuple[int, int]]:
    pipes: list[tuple[int, int]] = []
    try:
        for _ in range(count):
            pipes.append(os.pipe())
    except OSError as error:
        for descriptor in (end for pipe in pipes for end in pipe):
            os.close(descriptor)
        raise DeploymentsError(f"git cannot be started: {error.strerror}") from None
    return pipes


def _ready(readers: Iterable[int], writer: int) -> set[int]:
    """Wait until one of the descriptors can be read, or `writer` (if it is one) be written."""
    if not hasattr(select, "poll"):
        found = select.select(list(readers), [writer] if writer >= 0 else [], [])
        return {*found[0], *found[1]}
    poll = select.poll()
    for descriptor in readers:
        poll.register(descriptor, select.POLLIN)
    if writer >= 0:
        poll.register(writer, select.POLLOUT)
    return {descriptor for descriptor, _ in poll.poll()}


def _batch_objects(process: Process, source: Process, largest: int | None) -> Iterator[Object]:
    """Parse the output of `cat-file --batch` while it comes; `source` is what feeds it."""
    buffer, start = b"", 0
    while True:
        newline = buffer.find(b"\n", start)
        words = buffer[start:newline].split(b" ") if newline >= 0 else []
        if len(words) == 3 and words[2].isdigit():
            if largest is not None and int(words[2]) > largest:
                raise Oversized(words[0].decode(), int(words[2]), largest)
            end = newline + 1 + int(words[2])
            if len(buffer) > end:
                yield Object(words[0].decode(), words[1].decode(), buffer[newline + 1 : end])
                start = end + 1
                continue
        elif words:
            raise Damaged(words[0].decode("ascii", "replace"), "is missing from the repository")
        chunk = process.read(beside=source)
        if not chunk:
            return
        buffer, start = buffer[start:] + chunk, 0


def _parse_batch(out: bytes) -> Iterator[Object]:
    position = 0
    while (newline := out.find(b"\n", position)) >= 0:
        words = out[position:newline].split(b" ")
        position = newline + 1
        if len(words) == 3 and words[2].isdigit():
            end = position + int(words[2])
            if end >= len(out):
                return
            yield Object(words[0].decode(), words[1].decode(), out[position:end])
            position = end + 1


def _ref_line(change: RefChange) -> str:
    ref, new, old = change
    if new == old:
        return f"verify {ref}\0{old or ''}\0"
    if new is None:
        return f"delete {ref}\0{old}\0"
    if old is None:
        return f"create {ref}\0{new}\0"
    return f"update {ref}\0{new}\0{old}\0"


def lock_in_the_way(stderr: str) -> Locked | None:
    """What git said, if it was a lock file that kept it from moving a ref."""
    if "File exists" not in stderr:
        return None
    lock = stderr.partition("Unable to create '")[2].partition("'")[0]
    if not lock:  # what packed-refs is to become has a name of its own
        lock = stderr.partition("unable to create file ")[2].partition(": File exists")[0]
    return Locked(
        f"the lock file {shown(lock)} stays; if no git process is using this repository, "
        "'git deployments fsck --repair' removes it once it is old"
    )


_LOST = ("but expected", "reference already exists", "unable to resolve reference")


def _ref_failure(arguments: tuple[str, ...], code: int, stderr: str) -> DeploymentsError:
    locked = lock_in_the_way(stderr)
    if locked:
        return locked
    if "reference broken" not in stderr and any(sign in stderr for sign in _LOST):
        return LostRace(_one_line(stderr))
    return GitFailed(arguments, code, stderr)


def _not_a_repository(stderr: str) -> NotARepository:
    if "dubious ownership" in stderr:
        where = stderr.partition("repository at '")[2].partition("'")[0]
        return NotARepository(
            f"the repository at '{shown(where)}' belongs to somebody else; if you trust it: "
            f"git config --global --add safe.directory '{shown(where)}'"
        )
    return NotARepository(f"{_one_line(stderr)}; change into one, or name it with git -C DIR")


def _subcommand(arguments: tuple[str, ...]) -> str:
    words = iter(arguments[1:])
    for word in words:
        if word in ("-c", "-C"):
            next(words, None)
        elif not word.startswith("-"):
            return word
    return ""


def _one_line(stderr: str) -> str:
    """What git said, its prefixes and hints taken off, fit for one line of a terminal."""
    lines = [line.strip() for line in stderr.split("\n") if line.strip() and not line.startswith("hint:")]
    plain = [line.removeprefix("fatal: ").removeprefix("error: ").rstrip(".") for line in lines]
    return shown("; ".join(dict.fromkeys(plain)))
