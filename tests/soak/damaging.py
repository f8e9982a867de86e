"""Files of a repository damaged one after the other, and every reader asked about each, in forked processes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from git_deployments import history

from ..conftest import Project, Result
from . import forked

READERS = (
    ("fsck",),
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


def problems(
    project: Project, damages: list[Damage], judge: Judge, readers: Iterable[tuple[str, ...]] = READERS
) -> list[str]:
    """What is wrong with what the readers say of each damage, done to a copy of the repository."""

    def start() -> Callable[[Damage], Iterator[str]]:
        history.PAUSE = 0  # nobody else writes here
        copy = Project(project.path.with_name(f"{project.path.name}-{os.getpid()}"))
        shutil.copytree(project.path, copy.path, symlinks=True)
        whole = contents(copy)

        def work(damage: Damage) -> Iterator[str]:
            damage.do(copy.path / ".git")
            try:
                yield from judge(damage, copy, ask(copy, readers))
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
