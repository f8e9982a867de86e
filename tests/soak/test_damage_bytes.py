"""Every object of a small history cut at every byte, flipped, deleted; refs and packs too: what readers say of it."""

from __future__ import annotations

import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..conftest import WIDTH, Project
from . import SHORT, SOAK
from .damaging import FSCK, Answers, Damage, ask, contents, named, of, problems
from .forked import none

pytestmark = pytest.mark.skipif(not SOAK, reason="long; make soak runs it")

CUTS, FLIPS = (20, 60) if SHORT else (1, 3)
"""Of so many bytes of an object, one is met."""
OURS = "refs/deployments"


@pytest.fixture
def small(project: Project) -> Project:
    """Two versions, a changed setting and a rollback: each kind of object, first, inner and newest."""
    for number in (1, 2):
        project.commit(f"Change {number}", code=f"{number}\n")
        project.deploy(f"d{number}", version=f"0.0.{number}")
    project.ok("update", "etl/prod", "paused=true")
    project.ok("rollback", "etl/prod", "-m", "wrong totals")
    return project


def ours(project: Project) -> list[str]:
    """Ids of every object that a deployment is made of."""
    walk = ["rev-list", "--objects", "--no-object-names"]
    return project.git(*walk, f"--glob={OURS}").splitlines()


def inflated(project: Project, file: str) -> bytes | None:
    """What a loose object's file holds; None where it is damaged."""
    try:
        return zlib.decompress((project.path / ".git" / file).read_bytes())
    except zlib.error:
        return None


def test_every_damage_of_an_object_is_named_by_who_meets_it_and_by_fsck(small: Project) -> None:
    whole, git_dir, oids = ask(small), small.path / ".git", ours(small)
    files = [f"objects/{oid[:2]}/{oid[2:]}" for oid in oids]
    damages = [damage for file in files for damage in of(git_dir, file, CUTS, FLIPS)]

    def judge(damage: Damage, project: Project, answers: Answers) -> Iterator[str]:
        oid = damage.file.removeprefix("objects/").replace("/", "")
        yield from named(answers, whole, oid)
        if damage.how == "flip" and inflated(project, damage.file) == inflated(small, damage.file):
            return  # a bit that nothing reads, between the content and its checksum
        if answers[FSCK].code not in (1, 128) or oid not in answers[FSCK].out + answers[FSCK].err:
            yield f"fsck does not find it: {answers[FSCK]}"
        if len(answers) == 1:
            return
        before = contents(project)
        repaired = project.run("fsck", "--repair")
        if contents(project) != before:
            yield f"--repair touched something: {repaired}"

    none(problems(small, damages, judge, oids=oids))
    print(f"{len(damages)} damages of {len(files)} objects")


def said_of(answers: Answers, whole: Answers) -> Iterator[str]:
    """No answer differs from that of the undamaged repository without a word of what is wrong, and fsck says it too."""
    yield from named(answers, whole, *SIGNS, *SIGNS_OF_END)
    yield from found_by_fsck(answers, whole)


def found_by_fsck(answers: Answers, whole: Answers) -> Iterator[str]:
    """Where an answer differs from that of the undamaged repository fsck says why; none is unclear."""
    yield from named(answers, whole, "")
    other = [words for words in answers if answers[words][:2] != whole[words][:2]]
    if other and not (answers[FSCK].out or "fatal: " in answers[FSCK].err):
        yield f"fsck finds nothing: {[(words, answers[words]) for words in other]}"


SIGNS = (
    "damaged",
    "broken",
    "is missing",
    "malformed",
    "cannot be read",
    "not in this repository",
    "unrecorded",
    "no log",
)
SIGNS_OF_END = ("fatal: ", "error: ")


def test_every_damage_of_a_ref_is_named_and_what_can_be_derived_comes_back(small: Project) -> None:
    refs = [ref for ref in small.refs() if "etl/prod" in ref]
    small.deploy("other", flow="other")
    whole, git_dir = ask(small), small.path / ".git"
    damages = [damage for ref in refs for damage in of(git_dir, ref, CUTS, CUTS)[1:]]  # no ref at all is a move

    def judge(damage: Damage, project: Project, answers: Answers) -> Iterator[str]:
        yield from said_of(answers, whole)
        before = contents(project)
        repaired = project.run("fsck", "--repair")
        after = contents(project)
        broken = "is broken" in answers[FSCK].out
        if damage.how == "cut" and damage.at < WIDTH and not broken:
            yield "it is not called broken"
        again = broken and not damage.file.endswith("/log")
        if again and (after != contents(small) or repaired.code):
            yield f"--repair does not restore it: {repaired}"
        if not again and after != before:
            yield f"--repair touched something: {repaired}"

    none(problems(small, damages, judge))
    print(f"{len(damages)} damages of {len(refs)} refs")


def test_every_damage_of_packed_refs_is_said(small: Project) -> None:
    small.git("pack-refs", "--all")
    whole = ask(small)
    first = (small.path / ".git/packed-refs").read_text(encoding="utf-8").index("\n") + 1
    damages = [damage for damage in of(small.path / ".git", "packed-refs", CUTS, FLIPS) if damage.at > first]
    # Another name in it is another ref, and only fsck looks for what is missing beside.
    none(problems(small, damages, lambda _, __, answers: found_by_fsck(answers, whole)))
    print(f"{len(damages)} damages of packed-refs")


def test_every_damage_of_a_pack_is_said(small: Project) -> None:
    small.git("repack", "-q", "-a", "-d")
    whole, git_dir, oids = ask(small), small.path / ".git", ours(small)
    packs = [str(path.relative_to(git_dir)) for path in (git_dir / "objects/pack").glob("*.[ip]*")]
    assert len(packs) == 2
    damages = [damage for file in packs for damage in of(git_dir, file, 4 * CUTS, FLIPS)]
    none(problems(small, damages, lambda _, __, answers: said_of(answers, whole), oids=oids))
    print(f"{len(damages)} damages of a pack and its index")


def test_one_pull_mends_any_damage_of_an_object(small: Project, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(tmp_path / "hub.git")], check=True)
    small.git("remote", "add", "origin", f"file://{tmp_path}/hub.git")
    small.git("push", "-q", "origin", "main")
    small.ok("push")
    git_dir, refs = small.path / ".git", small.refs()
    files = [f"objects/{oid[:2]}/{oid[2:]}" for oid in ours(small)]
    damages = [damage for file in files for damage in of(git_dir, file, 8 * CUTS, 8 * FLIPS)]

    def judge(damage: Damage, project: Project, _: Answers) -> Iterator[str]:
        pulled, checked = project.run("pull"), project.run("fsck")
        if pulled.code or checked.code or checked.out or project.refs() != refs:
            yield f"{pulled} {checked}"
        elif damage.how == "deleted" and "damaged" not in pulled.err:
            yield f"not said: {pulled}"
        project.git("fsck", "--strict", "--no-dangling")

    none(problems(small, damages, judge, ()))
    print(f"{len(damages)} damages mended")
