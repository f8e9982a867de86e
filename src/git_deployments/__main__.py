"""The door: `live NAME` is answered here by one git process, a server's hooks by `receiving`, all else by `cli`.

Scripts and hooks ask what is live all day long, so that question pays for no import that it can
do without: not even `typing` or `subprocess`, which cost half a start of Python each. A hook, which git starts
for every push, pays for no command line.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` itself imports too much
import os
import sys

from git_deployments.names import BadName, encode

_OPTIONS = ("--oid", "--source")


def main() -> None:
    """Run the command line of this process and end it."""
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)  # while we import, ^C ends us as it ends any other program
    for descriptor in (0, 1, 2):
        _open_if_closed(descriptor)
    if sys.getfilesystemencoding() != "utf-8" and sys.executable:
        _start_again_in_utf8()
    arguments = sys.argv[1:]
    if arguments[:1] == ["live"] and len(arguments) <= 3 and hasattr(os, "posix_spawnp"):
        answer = _live(arguments[1:])
        if answer is not None:
            _say(answer)
    import gc

    gc.set_threshold(100_000)  # what imports make stays; looking through it again and again is a tenth of a start
    if len(arguments) == 2 and arguments[0] == "hook" and arguments[1].endswith("-receive"):
        from git_deployments import process, receiving

        if arguments[1] in receiving.HOOKS:
            process.end_with(lambda: receiving.run(arguments[1]))
    from git_deployments.late import late

    late("inspect")
    from git_deployments import cli

    cli.main()


def _start_again_in_utf8() -> None:
    """Names, paths and git's messages are UTF-8 whatever the locale is, and only a new start can tell Python so."""
    os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])


def _open_if_closed(descriptor: int) -> None:
    """A daemon may start us without them, and what is opened next would then be taken for one of them."""
    try:
        os.fstat(descriptor)
    except OSError:
        os.open(os.devnull, os.O_RDWR)


def _say(answer: bytes) -> None:
    try:
        os.write(1, answer)
    except BrokenPipeError:  # nobody listens any more
        os._exit(141)
    except OSError as error:
        said = f"fatal: standard output cannot be written: {error.strerror}\n"
        try:
            os.write(2, said.encode())
        finally:
            os._exit(128)
    os._exit(0)


def _live(arguments: list[str]) -> bytes | None:
    """The answer to `live NAME [--oid | --source]`; None where it takes a closer look to give one."""
    names = [word for word in arguments if word not in _OPTIONS]
    if len(names) != 1 or names[0].startswith("-"):
        return None
    try:
        name = encode(names[0])
    except BadName:
        return None
    oid, commit = _read(f"refs/deployments/{name}/live")
    trailers = _trailers(commit)
    number, source = trailers.get(b"Number", b""), trailers.get(b"Source-Commit", b"")
    plain = number.isdigit() and not number.startswith(b"0") and len(number) < 12
    ours = trailers.get(b"Format") == b"1" and trailers.get(b"Deployment") == name.encode()
    if not (plain and ours) or b"Action" in trailers or len(arguments) > 2:
        return None
    if source and (len(source) not in (40, 64) or source.strip(b"0123456789abcdef")):
        return None
    answer = oid if "--oid" in arguments else source if "--source" in arguments else number
    return answer + b"\n" if answer else None


def _trailers(commit: bytes) -> dict[bytes, bytes]:
    """The last paragraph, as `codec` reads it: empty unless each line is a trailer, and another precedes it.

    Empty, too, where the header is not as it should be.
    """
    head, _, message = commit.partition(b"\n\n")
    _, gap, last = message.rpartition(b"\n\n")
    words = [line.partition(b" ")[0] for line in head.split(b"\n")]
    parents = words.count(b"parent")
    if not gap or words[: parents + 3] != [b"tree", *[b"parent"] * parents, b"author", b"committer"]:
        return {}
    trailers = {}
    for line in last.split(b"\n"):
        key, colon, value = line.partition(b":")
        if not colon or not key.replace(b"-", b"").isalnum():
            return {}
        trailers[key] = value.strip()
    return trailers


def _read(ref: str) -> tuple[bytes, bytes]:
    """Id and content of the commit at a ref; both empty where git has no such commit, or the ref is symbolic."""
    out_read, out_write = os.pipe()
    format_ = "--format=%(objectname) %(objecttype)%(symref)%00%(raw)"
    try:
        quiet = (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)
        ends = [(os.POSIX_SPAWN_DUP2, out_write, 1), quiet]
        environment = {**os.environ, "GIT_NO_REPLACE_OBJECTS": "1"}
        os.posix_spawnp("git", ("git", "for-each-ref", format_, ref), environment, file_actions=ends)
    except OSError:
        return b"", b""
    os.close(out_write)
    data = b""
    while chunk := os.read(out_read, 65536):
        data += chunk
    header, _, content = data.partition(b"\0")
    oid, _, kind = header.partition(b" ")
    return (oid, content.rstrip(b"\n")) if kind == b"commit" else (b"", b"")


if __name__ == "__main__":
    main()
