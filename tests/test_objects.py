"""Three ways to write objects: one content has one id, git reads what was written, and it is on the disk."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from git_deployments.codec import TreeEntry, commit_bytes, tree_bytes
from git_deployments.document import snapshot
from git_deployments.errors import DeploymentsError
from git_deployments.git import at
from git_deployments.model import Identity
from git_deployments.objects import MANY, Loose, Objects, Odb, Pack, creating, moving
from git_deployments.repository import Repository as Opened

from .conftest import HASH, WIDTH, Project, Repository

ADA = Identity("Ada", "ada@example.com", 1767319445, "+0100")
BLOBS = (
    b"",
    b"\n",
    b"\0\xff" * 7,
    *(b"x" * size for size in (15, 16, 127, 2047, 2048, (1 << 18) - 1, 1 << 18)),
    os.urandom(1 << 20),
    snapshot({"description": "ü"}),
)
"""Contents around the sizes at which a pack's entries get a longer header."""

WRITERS: dict[str, Callable[[Path], Objects]] = {
    "Loose": lambda path: Loose(at(str(path), dict(os.environ))),
    "Odb": lambda path: Odb(str(path / ".git/objects")),
    "Pack": lambda path: Pack(at(str(path), dict(os.environ)), HASH),
}
if HASH != "sha1":
    del WRITERS["Odb"]  # libgit2 knows no other hash
EMPTY = {
    "sha1": ("e69de29bb2d1d6434b8b29ae775ad8c2e48c5391", "4b825dc642cb6eb9a060e54bf8d69288fbee4904"),
    "sha256": (
        "473a0f4c3be8a93681a267e3b1e9a7dcda1185436fe141f7749120a303721813",
        "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321",
    ),
}
"""Ids of the empty blob and of the empty tree, as git has them."""
every_writer = pytest.mark.parametrize("writer", WRITERS)


def version(objects: Objects, content: bytes, parents: tuple[str, ...] = (), width: int = WIDTH) -> str:
    """A commit whose tree holds a document and a gitlink to what is not here."""
    entries = [TreeEntry("100644", "deployment.json", objects.write("blob", content))]
    entries.append(TreeEntry("160000", "source", "1" * width))
    tree = objects.write("tree", tree_bytes(entries))
    return objects.write("commit", commit_bytes(tree, parents, ADA, ADA, "Grüße\n"))


def init(path: Path, *options: str) -> Repository:
    """An empty repository."""
    path.mkdir()
    subprocess.run(["git", "init", "-q", *options, str(path)], check=True)
    return Repository(path)


def content(repository: Repository, kind: str, oid: str) -> bytes:
    """What git reads."""
    return subprocess.run(["git", "cat-file", kind, oid], cwd=repository.path, check=True, capture_output=True).stdout


def test_each_writer_gives_the_same_ids_and_git_reads_the_same(tmp_path: Path) -> None:
    made: dict[str, list[str]] = {}
    for name, open_writer in WRITERS.items():
        repository = init(tmp_path / name)
        objects = open_writer(repository.path)
        ids = [objects.write("blob", data) for data in BLOBS]
        ids += [version(objects, b"{}\n"), version(objects, b"{}\n"), objects.write("tree", b"")]
        objects.finish()
        made[name] = ids
        for data, oid in zip(BLOBS, ids, strict=False):
            assert content(repository, "blob", oid) == data
        repository.git("update-ref", "refs/heads/made", ids[len(BLOBS)])
        assert repository.git("fsck", "--strict", "--no-dangling") == ""
    assert all(ids == made["Loose"] for ids in made.values())
    assert (made["Loose"][0], made["Loose"][-1]) == EMPTY[HASH]


def test_a_pack_in_a_sha256_repository(tmp_path: Path) -> None:
    repository = init(tmp_path / "sha256", "--object-format=sha256")
    objects = Pack(at(str(repository.path), dict(os.environ)), "sha256")
    ids = [objects.write("blob", data) for data in BLOBS]
    commit = version(objects, b"{}\n", width=64)
    objects.finish()
    for data, oid in zip(BLOBS, ids, strict=True):
        assert len(oid) == 64
        assert content(repository, "blob", oid) == data
    repository.git("update-ref", "refs/heads/made", commit)
    assert repository.git("fsck", "--strict", "--no-dangling") == ""


@pytest.mark.parametrize(("count", "packs"), [(1, 0), (33, 0), (34, 1), (400, 1)])
def test_a_small_pack_is_unpacked_and_a_large_one_is_kept(repository: Repository, count: int, packs: int) -> None:
    objects = Pack(at(str(repository.path), dict(os.environ)), HASH)
    tip: tuple[str, ...] = ()
    for number in range(count):  # three objects each
        tip = (version(objects, b"%d" % number, tip),)
    objects.finish()
    assert len(list((repository.path / ".git/objects/pack").glob("*.pack"))) == packs
    repository.git("update-ref", "refs/heads/made", *tip)
    assert repository.git("rev-list", "--count", "made") == str(count)
    assert repository.git("fsck", "--strict", "--no-dangling") == ""


def test_a_pack_may_be_finished_again_and_be_empty(repository: Repository) -> None:
    objects = Pack(at(str(repository.path), dict(os.environ)), HASH)
    objects.finish()
    first = objects.write("blob", b"one")
    assert objects.write("blob", b"one") == first
    objects.finish()
    second = objects.write("blob", b"two")
    objects.finish()
    objects.finish()
    assert [content(repository, "blob", oid) for oid in (first, second)] == [b"one", b"two"]
    assert repository.git("count-objects").startswith("2 objects")


@every_writer
def test_what_is_there_already_is_no_error(repository: Repository, writer: str) -> None:
    for _ in range(2):
        objects = WRITERS[writer](repository.path)
        oid = objects.write("blob", b"again")
        objects.finish()
    assert content(repository, "blob", oid) == b"again"
    repository.git("repack", "-adq")
    assert WRITERS[writer](repository.path).write("blob", b"again") == oid


@every_writer
def test_a_directory_that_git_gc_removes_at_that_moment_is_made_again(repository: Repository, writer: str) -> None:
    directory = repository.path / ".git/objects"
    collect = (
        "import os, sys, time\n"
        "names = [f'{number:02x}' for number in range(256)]\n"
        "print(flush=True)\n"
        "while True:\n"
        "    for name in names:\n"
        "        try:\n"
        "            os.rmdir(os.path.join(sys.argv[1], name))\n"
        "        except OSError:\n"
        "            pass\n"
        "    time.sleep(0.001)\n"
    )
    with subprocess.Popen([sys.executable, "-c", collect, str(directory)], stdout=subprocess.PIPE) as collecting:
        assert collecting.stdout
        collecting.stdout.readline()
        try:
            target = WRITERS[writer](repository.path)
            for number in range(20 if writer == "Loose" else 200):
                target.write("blob", b"%d" % number)
                oid = target.written[-1]
                (directory / oid[:2] / oid[2:]).unlink(missing_ok=True)
            target.finish()
        finally:
            collecting.kill()


def test_the_writer_fits_the_write(tmp_path: Path) -> None:
    plain, sha256 = (
        init(tmp_path / "plain", "--object-format=sha1").path,
        init(tmp_path / "sha256", "--object-format=sha256").path,
    )
    opened, large = Opened(str(plain), dict(os.environ)), Opened(str(sha256), dict(os.environ))
    assert type(moving(opened)) is type(moving(large)) is Loose
    assert type(creating(opened, 1)) is type(creating(opened, MANY - 1)) is Odb
    assert type(creating(opened, MANY)) is Pack
    assert type(creating(large, 1)) is Pack


def test_fifty_deployments_at_once_are_one_pack(project: Project) -> None:
    import json

    entries = [{"name": f"d{number}", "flow_name": "etl"} for number in range(MANY)]
    project.write("prefect.yaml", json.dumps({"deployments": entries}))
    project.ok("deploy", "--all")
    assert len(list((project.path / ".git/objects/pack").glob("*.pack"))) == 1
    assert project.ok("fsck").out == ""
    assert project.git("fsck", "--strict", "--no-dangling") == ""


# Durable


def flushed(tmp_path: Path, program: str, *arguments: str, cwd: Path) -> list[str]:
    """Paths that a Python program and its children flush to disk, in order."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not here to see what is flushed")
    trace = tmp_path / "trace"
    command = ["strace", "-f", "-y", "-e", "trace=fsync,fdatasync", "-o", str(trace), sys.executable, "-c", program]
    environment = {**os.environ, "GIT_DEPLOYMENTS_OBJECT_FORMAT": HASH}  # the program reads it as these tests do
    done = subprocess.run([*command, *arguments], cwd=cwd, env=environment, capture_output=True, text=True)
    if "PTRACE" in done.stderr or "ptrace" in done.stderr:
        pytest.skip("processes may not be traced here")
    assert done.returncode == 0, done.stderr
    calls = re.findall(r"f(?:data)?sync\(\d+<([^>]*)>", trace.read_text())
    return [str(Path(call).relative_to(cwd / ".git")) for call in calls if Path(call).is_relative_to(cwd / ".git")]


@pytest.mark.parametrize(("writer", "count"), [*((one, 3) for one in WRITERS), ("Pack", 120)])
def test_every_object_is_flushed(tmp_path: Path, repository: Repository, writer: str, count: int) -> None:
    program = (
        "import sys, pathlib\n"
        f"sys.path.insert(0, {str(Path(__file__).parent.parent)!r})\n"
        "from tests.test_objects import WRITERS\n"
        "objects = WRITERS[sys.argv[1]](pathlib.Path('.').absolute())\n"
        "for number in range(int(sys.argv[2])):\n"
        "    objects.write('blob', b'%d' % number)\n"
        "objects.finish()\n"
    )
    paths = flushed(tmp_path, program, writer, str(count), cwd=repository.path)
    if count == 120:
        # strace names a file as it is called at that moment: still a temporary one.
        kinds = {Path(path).name.partition("_")[2].partition("_")[0] for path in paths if "pack" in path}
        assert {"pack", "idx"} <= kinds, paths
    else:
        assert len([path for path in paths if "tmp_obj" in path]) == count, paths
    assert repository.git("count-objects", "-v").splitlines()[0 if count < 120 else 2].endswith(f" {count}")


RUN = "import sys; from git_deployments.cli import run; sys.exit(run(sys.argv[1:]))"


def test_a_deploy_flushes_its_objects_before_its_refs_and_all_of_them(tmp_path: Path, project: Project) -> None:
    project.manifest()
    project.git("config", "deployments.keepSource", "always")
    paths = flushed(tmp_path, RUN, "deploy", cwd=project.path)
    refs = [path for path in paths if path.startswith("refs/")]
    prefix = "refs/deployments/etl/prod"
    assert refs == [f"{prefix}/{name}.lock" for name in ("sources/1", "versions/1", "live", "log")]
    objects = [path for path in paths if "tmp_obj" in path]
    assert len(objects) == 6  # a document, a tree and a commit, for the version and for the event
    assert paths.index(refs[0]) > max(place for place, path in enumerate(paths) if path in objects)


def test_a_rollback_flushes_its_event_before_its_refs(tmp_path: Path, versions: Project) -> None:
    paths = flushed(tmp_path, RUN, "rollback", "prod", cwd=versions.path)
    assert [re.sub("_[^_]*$", "", path) for path in paths if "tmp_obj" in path or path.startswith("refs/")][1:] == [
        "refs/deployments/etl/prod/live.lock",
        "refs/deployments/etl/prod/log.lock",
    ]
    assert "tmp_obj" in paths[0]


# Where nothing can be written


def obstruct(repository: Repository) -> None:
    """Files where git wants folders for objects: nobody, not even root, can write there."""
    objects = repository.path / ".git/objects"
    for number in range(256):
        folder = objects / f"{number:02x}"
        if not folder.exists():
            folder.touch()
    for name in ("pack", "info"):
        (objects / name).rmdir()
        (objects / name).touch()


def lock(repository: Repository) -> None:
    """An object directory that may only be read."""
    if os.geteuid() == 0:
        pytest.skip("root may write where nobody may")
    for folder in (repository.path / ".git/objects").glob("**/"):
        folder.chmod(0o555)


@pytest.mark.parametrize("prevent", [obstruct, lock])
@every_writer
@pytest.mark.parametrize("count", [1, 120])
def test_objects_that_cannot_be_written_are_one_line(
    repository: Repository, writer: str, count: int, prevent: Callable[[Repository], None]
) -> None:
    prevent(repository)
    objects = WRITERS[writer](repository.path)

    def write() -> None:
        for number in range(count):
            objects.write("blob", b"%d" % number)
        objects.finish()

    with pytest.raises(DeploymentsError) as refused:
        write()
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize("prevent", [obstruct, lock])
@pytest.mark.parametrize("command", [["deploy"], ["rollback", "prod"], ["update", "prod", "paused=true"]])
def test_a_write_that_cannot_store_its_objects_changes_nothing(
    versions: Project, command: list[str], prevent: Callable[[Repository], None]
) -> None:
    versions.manifest("d4")
    prevent(versions)
    assert versions.fatal(*command).count("fatal: ") == 1
    for folder in (versions.path / ".git/objects").glob("**/"):
        folder.chmod(0o755)


@pytest.mark.parametrize("arguments", [["deploy"], ["rollback", "prod"]])
def test_a_full_disk_is_one_line_and_changes_nothing(versions: Project, arguments: list[str]) -> None:
    """A limit on the size of files stands for it: each write beyond it fails, as on a full disk."""
    program = f"import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10)); {RUN}"
    versions.manifest("d4")
    before = versions.refs()
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=versions.path, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (128, "")
    assert "Traceback" not in done.stderr
    assert [line for line in done.stderr.splitlines() if line.startswith("fatal: ")] == done.stderr.splitlines()[-1:]
    assert versions.refs() == before
    assert not list((versions.path / ".git/refs").glob("**/*.lock"))


INTERRUPTED = """
import os, signal, sys


class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "_socket":  # which a module in C imports, on the way to libgit2
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)
            print("interrupted")


from git_deployments import cli

sys.meta_path.insert(0, Interrupting())
sys.argv = ["git-deployments", "deploy"]
cli.main()
"""


@pytest.mark.skipif(HASH != "sha1", reason="libgit2 opens no SHA-256 repository")
def test_an_interrupt_while_libgit2_is_imported_is_an_interrupt(project: Project) -> None:
    project.manifest()
    before = project.refs()
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], cwd=project.path, capture_output=True, text=True)
    assert done.stdout == "interrupted\n", done
    assert "Traceback" not in done.stderr
    assert done.returncode in (130, -2)
    assert project.refs() == before
