"""Files of a repository damaged one after the other, and readers asked about each, in forked processes.

Readers see objects through git alone. So where it says of all of them what it said of an earlier damage, only `fsck` is
asked again: to cut a file at one byte or at the next is mostly the same to everybody.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from git_deployments import history

from ..conftest import Project, Result
from . import forked

FSCK = ("fsck",)
READERS = (
    FSCK,
    ("list",),
    ("live", "etl/prod"),
    ("versions", "etl/prod"),
    ("show", "etl/prod"),
    ("log", "etl/prod"),
    ("status",),
    ("diff", "etl/prod", "1", "2"),
    ("export",),
)


class Damage(NamedTuple):
    """What is done to one file."""

    file: str
    """Relative to the repository's git directory."""
    how: str
    """`cut`: it ends at byte `at`; `flip`: a bit of that byte; `deleted`."""
    at: int = 0

    def do(self, git_dir: Path) -> None:
        """Do it."""
        path = git_dir / self.file
        data = path.read_bytes()
        path.unlink()  # not written in place: the others of a pack's names would see it
        if self.how == "cut":
            path.write_bytes(data[: self.at])
        elif self.how == "flip":
            path.write_bytes(data[: self.at] + bytes([data[self.at] ^ 1 << self.at % 8]) + data[self.at + 1 :])


def of(git_dir: Path, file: str, cuts: int, flips: int) -> list[Damage]:
    """Deleted; cut at every byte that `cuts` divides, none included; flipped in every one that `flips` divides."""
    size = (git_dir / file).stat().st_size
    places = [("cut", at) for at in range(0, size, cuts)] + [("flip", at) for at in range(0, size, flips)]
    return [Damage(file, "deleted"), *(Damage(file, *place) for place in places)]


Answers = dict[tuple[str, ...], Result]
Judge = Callable[[Damage, Project, Answers], Iterator[str]]
"""Looks at what the readers said, in the repository as it is then, and names what is wrong."""


def ask(project: Project, commands: Iterable[tuple[str, ...]] = READERS) -> Answers:
    """What each command says. Raises what a command raises: that would be a traceback."""
    return {words: project.run(*words) for words in commands}


def contents(project: Project) -> dict[str, bytes]:
    """Every file that holds refs or objects."""
    git_dir = project.path / ".git"
    files = [path for place in ("refs", "objects") for path in (git_dir / place).rglob("*") if path.is_file()]
    files += [path for path in (git_dir / "packed-refs",) if path.exists()]
    return {str(path.relative_to(git_dir)): path.read_bytes() for path in files}


def restore(project: Project, whole: dict[str, bytes]) -> None:
    """Make the files what they were."""
    git_dir, now = project.path / ".git", contents(project)
    for file in now.keys() - whole.keys():
        (git_dir / file).unlink()
    for file, data in whole.items():
        if now.get(file) != data:
            (git_dir / file).parent.mkdir(parents=True, exist_ok=True)
            (git_dir / file).unlink(missing_ok=True)
            (git_dir / file).write_bytes(data)


def said_by_git(project: Project, oids: Iterable[str]) -> tuple[bytes, ...]:
    """All that git says of objects that are asked for by id, and of the history that refs of ours lead to."""

    def git(*words: str, stdin: bytes = b"") -> tuple[bytes, bytes]:
        done = subprocess.run(["git", *words], cwd=project.path, input=stdin, capture_output=True, check=False)
        return done.stdout, done.stderr

    said: list[bytes] = [*git("rev-list", "--objects", "--glob=refs/deployments")]
    left = list(oids)
    while left:
        out, err = git("cat-file", "--batch", stdin="".join(f"{oid}\n" for oid in left).encode())
        said += (out, err)
        answered = next((at for at, oid in enumerate(left) if f"{oid} ".encode() not in out), len(left))
        left = left[answered + 1 :]  # it ends with the first that it cannot read
    return tuple(said)


def problems(
    project: Project,
    damages: list[Damage],
    judge: Judge,
    readers: Iterable[tuple[str, ...]] = READERS,
    oids: Iterable[str] = (),
) -> list[str]:
    """What is wrong with what the readers say of each damage, done to a copy of the repository.

    `oids`: the objects that damages are of, if that is what they are of; then `judge` gets the answer of `fsck` alone
    where git says what it said before.
    """

    def start() -> Callable[[Damage], Iterator[str]]:
        history.PAUSE = 0  # nobody else writes here
        copy = Project(project.path.with_name(f"{project.path.name}-{os.getpid()}"))
        shutil.copytree(project.path, copy.path, symlinks=True)
        whole = contents(copy)
        known: set[tuple[bytes, ...]] = set()

        def work(damage: Damage) -> Iterator[str]:
            damage.do(copy.path / ".git")
            try:
                said = said_by_git(copy, oids) if oids else ()
                yield from judge(damage, copy, ask(copy, (FSCK,) if said in known else readers))
                known.update((said,) if said else ())
            finally:
                restore(copy, whole)

        return work

    return forked.problems(start, damages)


def named(answers: Answers, whole: Answers, *names: str) -> Iterator[str]:
    """Each answer is that of the undamaged repository, or names the damage; and is none but a clear one."""
    for words, (code, out, err) in answers.items():
        said = f"{' '.join(words)} ended with {code}: {out}{err}"
        if code not in (0, 1, 128) or (code == 128 and not err.splitlines()[-1:][0].startswith("fatal: ")):
            yield f"unclear: {said}"
        elif (code, out) != whole[words][:2] and not any(name in out + err for name in names):
            yield f"does not name it: {said}"
