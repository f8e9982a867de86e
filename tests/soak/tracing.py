"""Run a command and meet it at one of its changes of the disk.

Every system call that changes a disk or feeds another process is counted, in whichever of the command's processes it
comes. At the `nth` one the kernel kills: `one`, that process alone, or `tree`, all of them at once; or `how` is the
name of an error (`ENOSPC`), which the call gives back: then only those that change the disk count. The call itself does
not happen. Where `how` is the name of a signal (`SIGTERM`), all of them get it while the call is made. `report` gets a
line for each call; the last line says `met` or `ended`. The exit status is the command's, 128 and the signal's number
where it was killed.

A filter in the kernel picks out the calls that may count, so all others run as fast as ever. (Linux manual, ptrace(2),
PTRACE_GET_SYSCALL_INFO; seccomp(2), SECCOMP_RET_TRACE.)
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import select
import signal
import stat
import struct
import sys
import traceback
from pathlib import Path
from typing import TextIO

_AMD64 = {
    "write": 1, "open": 2, "pwrite64": 18, "writev": 20, "fsync": 74, "fdatasync": 75, "truncate": 76,
    "ftruncate": 77, "rename": 82, "mkdir": 83, "rmdir": 84, "creat": 85, "link": 86, "unlink": 87, "symlink": 88,
    "openat": 257, "mkdirat": 258, "unlinkat": 263, "renameat": 264, "linkat": 265, "symlinkat": 266,
    "renameat2": 316,
}  # fmt: skip
_ARM64 = {
    "mkdirat": 34, "unlinkat": 35, "symlinkat": 36, "linkat": 37, "renameat": 38, "truncate": 45, "ftruncate": 46,
    "openat": 56, "write": 64, "writev": 66, "pwrite64": 68, "fsync": 82, "fdatasync": 83, "renameat2": 276,
}  # fmt: skip
CALLS = {"x86_64": _AMD64, "aarch64": _ARM64}.get(platform.machine(), {}) if sys.platform == "linux" else {}
"""Name to number; empty on a system whose numbers are not known here."""
_NAMES = {number: name for name, number in CALLS.items()}
CAN_REFUSE = CALLS is _AMD64
"""Which register holds what a call gives back is known for this machine."""
_NUMBER_AT, _RESULT_AT = 15 * 8, 10 * 8
"""Of x86_64, in the user area that ptrace pokes into: `orig_rax` and `rax`."""

_POKE, _CONTINUE, _SET_OPTIONS, _GET_SYSCALL_INFO = 6, 7, 0x4200, 0x420E
_OPTIONS = 2 | 4 | 8 | 0x10 | 0x80 | 0x100000  # forks, vforks, clones, execs and the filter followed, killed with us
_ALL_CHILDREN = 0x40000000
_PICKED_STOP = signal.SIGTRAP | 7 << 8
_PICKED = 3

_MAKES = os.O_CREAT | os.O_TRUNC
_FLAGS_OF = {"open": 1, "openat": 2}
"""Which argument says whether a file is made."""
_ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_NO_NEW_PRIVILEGES, _SECCOMP, _FILTER = 38, 22, 2
_CHILD_SUBREAPER = 36
_LET, _PICK = 0x7FFF0000, 0x7FF00000
_LOAD, _EQUAL, _ANY, _RETURN = 0x20, 0x15, 0x45, 0x06
"""Of the kernel's packet filter: load a word of what is looked at, jump if it is this, jump if it has a bit of this."""
_ARGUMENTS_AT = 16

LIMIT = 60
"""Seconds that a command may take."""

_libc = ctypes.CDLL(None, use_errno=True)
_ptrace = _libc.ptrace
_ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_ptrace.restype = ctypes.c_long


class _Program(ctypes.Structure):
    """`struct sock_fprog`."""

    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))


def _pick() -> None:
    """From here on this process, and all that it starts, stops at the calls that may count."""
    lines = [
        (_LOAD, 0, 0, 4),
        (_EQUAL, 1, 0, _ARCHITECTURE[platform.machine()]),
        (_RETURN, 0, 0, _LET),
        (_LOAD, 0, 0, 0),
    ]
    for name, number in CALLS.items():
        flags = _FLAGS_OF.get(name)
        if flags is None:
            lines += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _PICK)]
        else:
            flag = [(_LOAD, 0, 0, _ARGUMENTS_AT + 8 * flags), (_ANY, 0, 1, _MAKES), (_RETURN, 0, 0, _PICK)]
            lines += [(_EQUAL, 0, 4, number), *flag, (_RETURN, 0, 0, _LET)]
    lines.append((_RETURN, 0, 0, _LET))
    program = _Program(len(lines), b"".join(struct.pack("HBBI", *line) for line in lines))
    if _libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) or _libc.prctl(_SECCOMP, _FILTER, ctypes.byref(program), 0, 0):
        raise OSError(ctypes.get_errno(), "the kernel takes no filter of calls")


def _entered(pid: int) -> tuple[str, list[int]] | None:
    """Name and arguments of the call that a process is about to make, if it is one of `CALLS`."""
    info = ctypes.create_string_buffer(88)
    _ptrace(_GET_SYSCALL_INFO, pid, len(info), ctypes.cast(info, ctypes.c_void_p))
    operation, number, *arguments = struct.unpack("B23xQ6Q", info.raw[:80])
    return (_NAMES[number], arguments) if operation == _PICKED and number in _NAMES else None


def _counts(pid: int, name: str, arguments: list[int]) -> str | None:
    """What a call changes, in words; None where that is no file and no other process."""
    if name in _FLAGS_OF:
        return "" if arguments[_FLAGS_OF[name]] & _MAKES else None
    if name in ("write", "writev", "pwrite64"):
        descriptor = f"/proc/{pid}/fd/{arguments[0]}"
        try:
            target, mode = os.readlink(descriptor), os.stat(descriptor).st_mode
        except OSError:
            return None
        return target if stat.S_ISREG(mode) or stat.S_ISFIFO(mode) else None
    return ""


def _run(nth: int, how: str, report: Path, words: tuple[str, ...]) -> int:
    first = os.fork()
    if first == 0:
        _ptrace(0, 0, None, None)
        os.kill(os.getpid(), signal.SIGSTOP)
        _pick()
        command = [sys.executable, "-m", "git_deployments", *words]
        os.execve(command[0], command, os.environ | {"PYTHONDONTWRITEBYTECODE": "1"})
    os.waitpid(first, 0)
    _ptrace(_SET_OPTIONS, first, None, _OPTIONS)
    _ptrace(_CONTINUE, first, None, None)
    with open(report, "w", encoding="utf-8", errors="replace") as out:
        code, met = _follow(first, nth, how, out)
        out.write("met\n" if met else "ended\n")
    return code


def _follow(first: int, nth: int, how: str, out: TextIO) -> tuple[int, bool]:
    """Until the last process has ended; exit code of the first one, and whether the call came."""
    known, seen, code = {first}, 0, 0
    while known:
        pid, status = os.waitpid(-1, _ALL_CHILDREN)
        if not os.WIFSTOPPED(status):
            known.discard(pid)
            code = os.waitstatus_to_exitcode(status) if pid == first else code
            continue
        known.add(pid)
        if status >> 8 == _PICKED_STOP and (seen < nth or not nth) and (line := _counted(pid, how)):
            seen += 1
            out.write(line)
            if seen == nth:
                _meet(pid, how, known)
        _ptrace(_CONTINUE, pid, None, _delivered(status))
    return 128 - code if code < 0 else code, bool(nth) and seen == nth


def _counted(pid: int, how: str) -> str | None:
    """The report's line on the call that a process is about to make, if it counts."""
    entered = _entered(pid)
    target = _counts(pid, *entered) if entered else None
    if entered is None or target is None or (how not in ("one", "tree") and target.startswith("pipe:")):
        return None
    return f"{pid} {entered[0]} {target}\n"


def _meet(pid: int, how: str, known: set[int]) -> None:
    if how in ("one", "tree") or how.startswith("SIG"):
        for victim in {pid} if how == "one" else known:
            os.kill(victim, getattr(signal, how, signal.SIGKILL))
    else:
        _ptrace(_POKE, pid, _NUMBER_AT, ctypes.c_void_p(-1))
        _ptrace(_POKE, pid, _RESULT_AT, ctypes.c_void_p(-getattr(errno, how)))


def _delivered(status: int) -> int:
    """The signal that a stopped process is to get; what only tracing stops for is none."""
    stopped = os.WSTOPSIG(status)
    return 0 if status >> 16 or stopped in (signal.SIGTRAP, signal.SIGSTOP) else stopped


def run(directory: Path, words: tuple[str, ...], nth: int, how: str, report: Path) -> tuple[int, list[list[str]]]:
    """Exit code of one of our commands run so, and the words of its report's lines but the last."""
    code, calls, _ = heard(directory, words, nth, how, report)
    return code, calls


def heard(
    directory: Path, words: tuple[str, ...], nth: int, how: str, report: Path
) -> tuple[int, list[list[str]], str]:
    """The same, and what the command said on standard error. A traceback fails the test."""
    said = report.with_suffix(".said")
    tracer = os.fork()  # which has no other children to wait for
    if tracer == 0:
        code = _UNABLE
        try:
            null, error = os.open(os.devnull, os.O_RDWR), os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            for target, descriptor in enumerate((null, null, error)):
                os.dup2(descriptor, target)
            os.chdir(directory)
            code = _run(nth, how, report, words)
        except BaseException:
            os.write(2, traceback.format_exc().encode())
        finally:
            os._exit(code)
    code = _ended(tracer)
    err = said.read_text()
    assert "Traceback" not in err, err
    return code, [line.split() for line in report.read_text().splitlines()[:-1]], err


def adopt(really: bool) -> None:
    """From here on this process is, or is not, the parent of what its children leave behind, where Linux does that."""
    if sys.platform == "linux":
        _libc.prctl(_CHILD_SUBREAPER, int(really), 0, 0, 0)


_UNABLE = 255


def _ended(tracer: int) -> int:
    """Exit status of the tracer; one that waits for ever is killed, and all that it follows with it."""
    descriptor = os.pidfd_open(tracer)
    try:
        late = not select.select([descriptor], [], [], LIMIT)[0]
    finally:
        os.close(descriptor)
    if late:
        os.kill(tracer, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(tracer, 0)[1])
    assert not late, "it goes on for ever"
    return code
