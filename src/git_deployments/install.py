"""The hooks of a server, put in place beside what is there already, and taken out again (design, "Hooks").

A hook that was there before is kept under another name and called first, with the same input. Code
alone pays nothing: the hook starts Python only where a push touches `refs/deployments/`.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import suppress

from git_deployments.errors import DeploymentsError
from git_deployments.git import text
from git_deployments.names import shown
from git_deployments.repository import Repository

HOOKS = ("pre-receive", "post-receive")
KEPT = ".before-deployments"
"""Ends the name of a hook that was there before."""
_MARK = "# Made by 'git deployments hook install'"

_SCRIPT = """\
#!/bin/sh
{mark}; 'git deployments hook install --remove' takes it out.
# A hook that was here before is {hook}{kept}, beside this file, and runs first.
moved=$(cat)
before="${{0%/*}}/{hook}{kept}"
run_before () {{
    # Many scripts look at their own name to know which hook they are, so one of a shell is told the name that it had.
    line=
    test -h "$before" || read -r line 2>/dev/null <"$before"
    case ${{line%% -[a-z]*}} in
    '#!'*[/' ']sh | '#!'*[/' ']bash | '#!'*[/' ']dash | '#!'*[/' ']ksh)
        ${{line#??}} -c '. "$0{kept}"' "$0" "$@"
        ;;
    *) "$before" "$@" ;;
    esac
}}
if test -x "$before"; then
    printf '%s\\n' "$moved" | run_before "$@" || {otherwise}
fi
case $moved in
*" refs/"[Dd][Ee][Pp][Ll][Oo][Yy][Mm][Ee][Nn][Tt][Ss]*) ;;
*) exit 0 ;;
esac
if ! test -x {program}; then
    echo "git-deployments is no longer at "{program}"; run 'git deployments hook install' on the server" >&2
    exit 1
fi
printf '%s\\n' "$moved" | {program} hook {hook}
"""


class Occupied(DeploymentsError):
    """Where a hook must be kept, something else lies already."""


class NoProgram(DeploymentsError):
    """The hooks would not find this program again."""


class NoHooks(DeploymentsError):
    """git is told to run no hooks here."""


def install(repository: Repository) -> Iterator[str]:
    """Put both hooks in place; a line for each. Raises `NoHooks`, `Occupied`, `NoProgram`, `OSError`."""
    directory, program = _directory(repository), _program(repository)
    for hook in HOOKS:
        path = os.path.join(directory, hook)
        if os.path.lexists(path) and not _is_ours(path) and os.path.lexists(path + KEPT):
            raise Occupied(f"{shown(path)} would be kept as {hook}{KEPT}, but that is there too; move one of them away")
    home = os.stat(repository.layout.common_dir).st_mode
    if not os.path.isdir(directory):
        os.makedirs(directory)
        os.chmod(directory, stat.S_IMODE(home))
    for hook in HOOKS:
        path = os.path.join(directory, hook)
        kept = os.path.lexists(path) and not _is_ours(path)
        if kept:
            _keep(path)
        _write(path, _script(hook, program), _permissions(home))
        yield f"{shown(path)}: installed" + (f"; the hook that was there is kept as {hook}{KEPT}" if kept else "")
    scope = (repository.git.line("config", "--show-scope", "--get", "core.hooksPath") or "").partition("\t")[0]
    if scope in _OWN:
        yield (
            "core.hooksPath is set for you alone, so what others push is not guarded; "
            "for all who push here: git config core.hooksPath hooks, then git deployments hook install"
        )


_OWN = ("global", "command")
"""Scopes of configuration (git manual, git-config) that other users do not have."""


def _script(hook: str, program: str) -> str:
    # What was pushed is there by the time of post-receive, whatever the other hook thinks of it.
    otherwise = "exit" if hook == "pre-receive" else "true"
    return _SCRIPT.format(mark=_MARK, hook=hook, kept=KEPT, program=_quoted(program), otherwise=otherwise)


def remove(repository: Repository) -> Iterator[str]:
    """Take both hooks out and put back what was there before; a line for each."""
    directory = _directory(repository)
    for hook in HOOKS:
        path = os.path.join(directory, hook)
        if not os.path.lexists(path):
            yield f"{shown(path)}: not there"
        elif not _is_ours(path):
            yield f"{shown(path)}: left alone, it is not one of ours"
        elif os.path.lexists(path + KEPT):
            os.replace(path + KEPT, path)
            yield f"{shown(path)}: the hook that was there before is back"
        else:
            os.unlink(path)
            yield f"{shown(path)}: removed"


def _directory(repository: Repository) -> str:
    """Where a push looks for hooks: it runs in the git directory, also of a repository that has a work tree.

    A relative `core.hooksPath` begins there (git manual, githooks). Raises `NoHooks`.
    """
    home = repository.layout.common_dir
    path = text(repository.git.run("-C", home, "--git-dir=.", "rev-parse", "--git-path", "hooks")).removesuffix("\n")
    directory = os.path.abspath(os.path.join(home, path))
    empty = repository.config.get("core.hookspath", ["hooks"])[-1] == ""
    if empty or (os.path.exists(directory) and not os.path.isdir(directory)):
        why = "core.hooksPath is empty" if empty else f"{shown(directory)} is no directory"
        raise NoHooks(f"git runs no hooks here, since {why}; name one: git config core.hooksPath hooks")
    return directory


def _program(repository: Repository) -> str:
    """A server runs hooks with a PATH of its own, so the hook names the program in full."""
    import shutil

    beside = os.path.join(os.path.dirname(sys.executable), "git-deployments")
    if os.access(beside, os.X_OK):
        return beside
    found = shutil.which("git-deployments", path=repository.environment.get("PATH"))
    if found is None:
        raise NoProgram("git-deployments is neither beside its Python nor on the PATH; install it on the server first")
    return os.path.abspath(found)


def _quoted(path: str) -> str:
    import shlex

    return shlex.quote(path)


def _is_ours(path: str) -> bool:
    try:
        with open(path, "rb") as stream:
            return _MARK.encode() in stream.read(4096)
    except OSError:
        return False


def _keep(path: str) -> None:
    """Give a hook its other name; where links are possible there is never a moment without it."""
    try:
        os.link(path, path + KEPT, follow_symlinks=False)
    except (OSError, NotImplementedError):
        os.rename(path, path + KEPT)


def _permissions(home: int) -> int:
    """Of a hook: whoever may enter the repository may run it. git passes over one that it may not run."""
    enter = home & 0o011
    return 0o700 | enter | enter << 2


def _write(path: str, script: str, permissions: int) -> None:
    new = f"{path}.new"
    with suppress(FileNotFoundError):
        os.unlink(new)
    with open(
        os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o700), "w", encoding="utf-8", errors="surrogateescape"
    ) as stream:
        stream.write(script)
    os.chmod(new, permissions)
    os.replace(new, path)
