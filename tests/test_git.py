"""The runner: whatever git does, or is, it gives an answer or one line, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from git_deployments import git
from git_deployments.errors import DeploymentsError
from git_deployments.git import (
    Damaged,
    Git,
    GitFailed,
    GitMissing,
    Locked,
    LostRace,
    NotARepository,
    Oversized,
    Reading,
    RefChange,
    at,
    parse_config,
)

from .conftest import Repository

ROOT = "refs/deployments/a"
SCRIPT = str(Path(sys.executable).with_name("git-deployments"))


@pytest.fixture
def runner(repository: Repository) -> Iterator[Git]:
    """git in a repository with three commits; every test leaves neither a process nor a descriptor."""
    for number in range(3):
        repository.commit(f"Change {number}", file=f"{number}\n")
    before = descriptors(), children()
    yield at(str(repository.path), dict(os.environ))
    assert (descriptors(), children()) == before


def descriptors() -> int:
    """How many this process has."""
    return len(os.listdir("/dev/fd"))


def children() -> set[int]:
    """Processes of this one, running or dead."""
    if os.path.isdir("/proc/self"):
        numbers = [int(name) for name in os.listdir("/proc") if name.isdigit()]
        return {number for number in numbers if _parent(Path(f"/proc/{number}/stat")) == os.getpid()}
    listing = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,comm="], capture_output=True, text=True, check=True)
    lines = (line.split(None, 2) for line in listing.stdout.splitlines())
    return {int(pid) for pid, parent, name in lines if int(parent) == os.getpid() and not name.endswith("ps")}


def _parent(stat: Path) -> int | None:
    try:
        return int(stat.read_text(errors="replace").rpartition(")")[2].split()[1])
    except OSError:  # it has ended meanwhile
        return None


@pytest.fixture
def reading(runner: Git) -> Iterator[Reading]:
    """A reader of objects."""
    made = Reading(runner)
    yield made
    made.close()


def loose(runner: Git, oid: str) -> Path:
    """The file of a loose object, made writable."""
    path = Path(runner.directory, ".git/objects", oid[:2], oid[2:])
    if path.exists():
        path.chmod(0o644)
    return path


def head(runner: Git, revision: str = "HEAD") -> str:
    return runner.line("rev-parse", revision) or ""


# Feeding and reading


def test_much_is_fed_and_read_at_the_same_time(runner: Git) -> None:
    data = os.urandom(1 << 19) * 8
    oid = runner.run("hash-object", "-w", "--stdin", stdin=data).decode().strip()
    assert runner.run("cat-file", "blob", oid) == data
    out = runner.run("cat-file", "--batch", stdin=f"{oid}\n".encode() * 4)
    assert len(out) == 4 * (len(data) + len(f"{oid} blob {len(data)}\n\n"))
    many = runner.run("cat-file", "--batch-check", stdin=f"{oid}\n".encode() * 100_000)
    assert many.count(b" blob ") == 100_000


def test_input_that_git_does_not_want_is_no_error(runner: Git) -> None:
    assert runner.run("version", stdin=b"x" * (1 << 20)).startswith(b"git version")


def test_both_outputs_are_read_to_their_end(runner: Git) -> None:
    both = "!f() { i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo out$i-------------------; echo err$i >&2; done; }; f"
    code, out, err = runner.ask("-c", f"alias.both={both}", "both")
    assert (code, out.count(b"\n"), err.count("\n")) == (0, 3000, 3000)


def test_failures_say_what_git_said_on_one_line(runner: Git) -> None:
    with pytest.raises(GitFailed) as failed:
        runner.run("rev-parse", "--verify", "refs/nowhere")
    assert str(failed.value) == "Needed a single revision"
    assert failed.value.code == 128
    with pytest.raises(GitFailed, match="git diff ended with status 1 and no message"):
        runner.run("-c", "core.quotePath=false", "diff", "--no-index", "--quiet", "/dev/null", ".git/HEAD")
    with pytest.raises(GitFailed) as failed:
        runner.run("-c", "alias.say=!printf 'fatal: \\033[31mred\\nhint: x\\nerror: more.\\n' >&2; false", "say")
    assert str(failed.value) == r"\x1b[31mred; more"


def test_a_question_without_an_answer_is_none(runner: Git) -> None:
    assert runner.line("rev-parse", "-q", "--verify", "refs/nowhere") is None
    assert runner.line("config", "nothing.here") is None
    assert runner.line("rev-parse", "HEAD") == head(runner)


def test_messages_are_untranslated_and_the_rest_of_the_environment_is_the_one_given(repository: Repository) -> None:
    environment = {**os.environ, "LC_ALL": "de_DE.UTF-8", "LANGUAGE": "de", "SEEN": "yes"}
    asked = at(str(repository.path), environment).run("-c", "alias.e=!env", "e").decode().splitlines()
    assert {"LC_ALL=C", "LANGUAGE=", "SEEN=yes"} <= set(asked)


def test_the_directory_may_look_like_an_option(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    repository.path.rename(repository.path.with_name("--help"))
    monkeypatch.chdir(repository.path.parent)
    assert at("--help", dict(os.environ)).line("symbolic-ref", "HEAD") == "refs/heads/main"


def test_a_replaced_object_is_read_as_it_is(runner: Git, reading: Reading) -> None:
    first, last = head(runner, "HEAD~2"), head(runner)
    runner.run("replace", last, first)
    assert reading.object(last).oid == last
    assert b"Change 2" in reading.object(last).data
    assert [commit.oid for commit in runner.commits(last)] == [last, head(runner, "HEAD~1"), first]


# No git, no repository


def test_without_git_one_line_says_so(repository: Repository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GitMissing, match="git is not on the PATH"):
        at(str(repository.path), dict(os.environ)).run("version")
    for command in (["list"], ["live", "etl/prod"], ["deploy"], ["rollback", "x"]):
        done = subprocess.run([sys.executable, SCRIPT, *command], cwd=repository.path, capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (128, "")
        assert done.stderr == "fatal: git is not on the PATH; install it (2.34 or newer)\n"


def test_a_git_that_cannot_be_started_is_named(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wrong = tmp_path / "git"
    wrong.write_text("no program")
    wrong.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeploymentsError):
        at(str(repository.path), dict(os.environ)).run("version")


def test_outside_of_a_repository(tmp_path: Path) -> None:
    lost, before = at(str(tmp_path), dict(os.environ)), children()
    for ask in (
        lambda: lost.refs(),
        lambda: lost.line("rev-parse", "HEAD"),
        lambda: lost.run("rev-parse", "--git-dir"),
        lambda: lost.move_refs([RefChange(f"{ROOT}/live", "1" * 40, None)]),
        lambda: Reading(lost).object("1" * 40),
        lambda: Reading(lost).many(["1" * 40] * 3),
        lambda: Reading(lost).many(f"{number:040x}" for number in range(100)),
        lambda: list(lost.commits("1" * 40)),
    ):
        with pytest.raises(NotARepository, match="change into one, or name it with git -C DIR"):
            ask()
    assert children() == before


@pytest.mark.parametrize("where", ["nowhere", "file"])
def test_a_directory_that_is_none(tmp_path: Path, where: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotARepository):
        at(str(tmp_path / where), dict(os.environ)).refs()


def test_a_repository_of_somebody_else_is_named_with_the_remedy(repository: Repository) -> None:
    elses = at(str(repository.path), {**os.environ, "GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"})
    with pytest.raises(NotARepository, match=r"git config --global --add safe\.directory '/"):
        elses.refs()


def test_the_fast_door_survives_a_git_that_ends_at_once(tmp_path: Path) -> None:
    """Outside of a repository git may be gone before it is asked; a slow machine makes that likely."""
    program = (
        "import os, sys, time\n"
        "write = os.write\n"
        "def late(descriptor, data):\n"
        "    time.sleep(0.3)\n"
        "    return write(descriptor, data)\n"
        "os.write = late\n"
        "sys.argv = ['git-deployments', 'live', 'etl/prod']\n"
        "from git_deployments.__main__ import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 128
    assert done.stderr.startswith("fatal: not a git repository")
    assert len(done.stderr.splitlines()) == 1


# Objects


def test_objects_are_found_by_id_and_by_name(runner: Git, reading: Reading) -> None:
    found = reading.object(head(runner))
    assert (found.oid, found.kind) == (head(runner), "commit")
    assert found.data == runner.run("cat-file", "commit", "HEAD")
    blob = reading.find("HEAD:file")
    assert blob is not None
    assert (blob.kind, blob.data) == ("blob", b"2\n")
    for name in ("HEAD:nope", "nope", "", "HEAD:a b", "HEAD:file\n", "1" * 40, "\udcff", " ", "HEAD blob 3"):
        assert reading.find(name) is None, name
    assert reading.object(head(runner)) == found


def test_an_ambiguous_name_is_none(runner: Git, reading: Reading) -> None:
    runner.run("fast-import", "--quiet", stdin=b"".join(b"blob\ndata 4\n%04d\n" % number for number in range(600)))
    listing = runner.run("cat-file", "--batch-all-objects", "--batch-check=%(objectname)").decode().split()
    prefixes = [oid[:4] for oid in listing]
    twice = next(prefix for prefix in prefixes if prefixes.count(prefix) > 1)
    assert reading.find(twice) is None
    assert reading.object(head(runner)).kind == "commit"


def test_binary_and_empty_and_large_objects_are_exact(runner: Git, reading: Reading) -> None:
    for data in (b"", b"\n", b"\0\xff\n\n", b"x missing\n", os.urandom(300_001)):
        oid = runner.store("blob", data)
        assert reading.object(oid).data == data
        assert reading.many([oid]) == {oid: reading.object(oid)}


@pytest.mark.parametrize("damage", ["emptied", "halved", "flipped", "deleted"])
def test_after_a_damaged_object_the_next_question_is_answered(runner: Git, reading: Reading, damage: str) -> None:
    oid = runner.store("blob", os.urandom(200_000))
    path = loose(runner, oid)
    data = path.read_bytes()
    flipped = data[:100_000] + bytes([data[100_000] ^ 1]) + data[100_001:]
    path.write_bytes({"emptied": b"", "halved": data[:100_000], "flipped": flipped}.get(damage, b""))
    if damage == "deleted":
        path.unlink()
    for _ in range(2):
        assert reading.object(head(runner)).kind == "commit"
        with pytest.raises(Damaged, match=oid) as damaged:
            reading.object(oid)
        assert str(damaged.value).isprintable()
        assert "git deployments fsck" in str(damaged.value)
    assert reading.object(head(runner)).kind == "commit"


def test_many_gives_what_is_here_and_readable(runner: Git, reading: Reading) -> None:
    oids = [runner.store("blob", b"%d" % number * 50_000) for number in range(6)]
    loose(runner, oids[1]).write_bytes(b"")
    loose(runner, oids[2]).unlink()
    path = loose(runner, oids[3])
    path.write_bytes(path.read_bytes()[:40])
    missing = [f"{number:040x}" for number in range(100)]
    for wanted in ([*oids, *oids], [*missing[:50], *oids, *missing[50:]], missing, []):
        found = reading.many(iter(wanted))
        assert list(found) == [oid for oid in found if found[oid].oid == oid]
        assert set(found) == set(wanted) & {oids[0], oids[4], oids[5]}
    assert reading.object(oids[5]).data == b"5" * 50_000


def test_much_is_read_in_order_up_to_what_may_be_held(runner: Git, reading: Reading) -> None:
    oids = [runner.store("blob", b"%d" % number * 10_000) for number in range(40)]
    names = ["HEAD:nothing", *oids[:2], "0" * 40, f"{head(runner)}^{{tree}}", *oids, "HEAD:a:b"]
    tree = runner.run("rev-parse", "HEAD^{tree}").decode().strip()
    before = children()
    found = reading.much(names)
    assert [one.oid for one in found] == [*oids[:2], tree, *oids[2:]]
    assert [one.data for one in found if one.kind == "blob"] == [b"%d" % number * 10_000 for number in range(40)]
    few = reading.much(iter(names), held=100_000)
    assert few == found[:10]  # the next one would end beyond
    assert reading.much(names[3:4]) == reading.much([]) == []
    assert children() == before
    reading.largest = 9_999 + 10_000
    assert [one.oid for one in reading.much(names)] == [*oids[:2], tree, *oids[2:10]]


def test_what_is_foreseen_is_read_by_a_process_that_leaves_nothing_behind(runner: Git, reading: Reading) -> None:
    """More than a pipe holds, both of questions and of answers."""
    oids = [runner.store("blob", b"%d" % number * 100_000) for number in range(30)]
    before = len(children())
    names = [*oids, *(f"HEAD:{'x' * 3000}{number}" for number in range(1000))]
    reading.foresee(names)
    assert len(children()) == before + 1
    assert [one.oid for one in reading.much(oids[:2])] == oids[:2]
    assert len(children()) == before + 1
    assert [one.oid for one in reading.much(names)] == oids
    assert len(children()) == before
    reading.foresee(oids[:1])
    assert [one.oid for one in reading.ahead(oids[:1], 1_000_000)] == oids[:1]
    assert reading.holds(oids[0])
    reading.foresee(oids)
    reading.foresee(oids[1:])
    assert len(children()) == before + 1
    reading.foresee([])
    assert len(children()) == before
    reading.foresee(oids)
    reading.close()
    assert len(children()) == before


def test_what_is_read_ahead_is_held_until_it_is_forgotten(runner: Git, reading: Reading) -> None:
    oids = [runner.store("blob", b"%d" % number) for number in range(3)]
    assert [one.data for one in reading.ahead((*oids[:2], "0" * 40), 1000)] == [b"0", b"1"]
    assert [reading.holds(oid) for oid in oids] == [True, True, False]
    loose(runner, oids[0]).unlink()
    assert reading.object(oids[0]).data == b"0"
    with pytest.raises(Oversized):
        reading.object(oids[0], largest=0)
    reading.forget()
    assert not reading.holds(oids[0])
    with pytest.raises(Damaged):
        reading.object(oids[0])


def test_of_a_few_that_are_read_together_no_more_is_held_than_wanted(runner: Git, reading: Reading) -> None:
    oids = [runner.store("blob", b"%d" % n * 100) for n in range(4)]
    reading.together([oids[0], "0" * 40, oids[1]])
    assert [reading.holds(oid) for oid in oids] == [True, True, False, False]
    reading.together(oids[2:], 50)
    assert [reading.holds(oid) for oid in oids] == [True, True, True, False]
    assert [reading.object(oid).data[:1] for oid in reversed(oids)] == [b"3", b"2", b"1", b"0"]
    reading.largest = 10
    reading.forget()
    reading.together(oids[:1])
    reading.together([])
    assert not reading.holds(oids[0])


def test_a_reader_whose_process_was_killed_says_so_and_goes_on(runner: Git, reading: Reading) -> None:
    assert reading.object(head(runner))
    process = reading._process
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    time.sleep(0.05)
    with pytest.raises(Damaged):
        reading.object(head(runner))
    assert reading.object(head(runner))


def test_a_closed_reader_starts_again(runner: Git, reading: Reading) -> None:
    before = children()
    for _ in range(3):
        assert reading.object(head(runner))
        assert len(children() - before) == 1
        reading.close()
        reading.close()
        assert children() == before


# A chain of commits


def test_commits_are_read_along_first_parents(runner: Git) -> None:
    chain = runner.run("rev-list", "HEAD").decode().split()
    assert [commit.oid for commit in runner.commits("HEAD")] == chain
    assert [commit.oid for commit in runner.commits("HEAD", skip=1)] == chain[1:]
    assert [commit.oid for commit in runner.commits("HEAD", skip=1, limit=1)] == chain[1:2]
    assert list(runner.commits("HEAD", limit=0)) == []
    assert list(runner.commits("HEAD", skip=9)) == []


def test_a_commit_that_is_too_large_is_not_read(runner: Git) -> None:
    stream = b"commit refs/heads/large\ncommitter A <a@b> 1 +0000\ndata 3000000\n%s\n" % (b"x" * 3_000_000)
    runner.run("fast-import", "--quiet", stdin=stream)
    before = children()
    with pytest.raises(Oversized, match="more than the 2000000 that are allowed"):
        list(runner.commits("large", largest=2_000_000))
    assert children() == before
    assert len(list(runner.commits("large", largest=4_000_000))) == 1


def test_a_long_chain_is_left_early_without_a_trace(runner: Git) -> None:
    stream = b"".join(
        b"commit refs/heads/long\ncommitter A <a@b> %d +0000\ndata 2000\n%s\n" % (number, b"x" * 2000)
        for number in range(2000)
    )
    runner.run("fast-import", "--quiet", stdin=stream)
    before = children()
    walking = runner.commits("refs/heads/long")
    assert next(walking).kind == "commit"
    assert len(children() - before) == 2
    walking.close()  # type: ignore[attr-defined]
    assert children() == before
    assert sum(1 for _ in runner.commits("refs/heads/long")) == 2000
    for taken, _ in enumerate(runner.commits("refs/heads/long")):
        if taken == 700:
            break
    assert children() == before


@pytest.mark.parametrize("damage", ["emptied", "deleted"])
def test_a_damaged_chain_gives_what_comes_before_and_then_an_error(runner: Git, damage: str) -> None:
    newest, oldest = head(runner), head(runner, "HEAD~2")
    path = loose(runner, oldest)
    path.write_bytes(b"") if damage == "emptied" else path.unlink()
    walking = runner.commits(newest)
    found = []
    with pytest.raises(DeploymentsError, match=oldest) as damaged:
        found += [next(walking), next(walking), next(walking)]
    assert str(damaged.value).isprintable()


def test_a_start_that_looks_like_an_option_is_no_option(runner: Git) -> None:
    target = Path(runner.directory, "pwned")
    for start in (f"--output={target}", "--all", "--help", "-1"):
        with pytest.raises(DeploymentsError) as refused:
            list(runner.commits(start))
        assert len(str(refused.value)) < 300
    assert not target.exists()


# In another process, with a time limit: these would hang, or break what runs the tests


def in_child(runner: Git, program: str, **environment: str) -> str:
    """Standard output of a Python program that has `runner` and `head`."""
    prelude = (
        "import os, signal\n"
        "from git_deployments.git import Reading, at\n"
        f"runner = at({runner.directory!r}, dict(os.environ))\n"
        f"head = {head(runner)!r}\n"
    )
    try:
        done = subprocess.run(
            [sys.executable, "-c", prelude + program],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=15,
        )
    except subprocess.TimeoutExpired:
        pytest.fail("it hangs")
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def packed(runner: Git) -> None:
    """A thousand more commits, in a pack."""
    stream = b"".join(
        b"commit refs/heads/long\ncommitter A <a@b> %d +0000\ndata 0\n" % number for number in range(1500)
    )
    runner.run("-c", "fastimport.unpackLimit=1", "fast-import", "--quiet", stdin=stream)


def test_a_git_that_traces_to_its_standard_error_does_not_block(runner: Git) -> None:
    packed(runner)
    program = (
        "oids = [one.oid for one in runner.commits('refs/heads/long')]\n"
        "reading = Reading(runner)\n"
        "print(len(oids), len([reading.object(oid) for oid in oids]), len(reading.many(oids)))\n"
        "reading.close()\n"
    )
    assert in_child(runner, program, GIT_TRACE_PACK_ACCESS="1") == "1500 1500 1500\n"


def test_very_many_damaged_objects_do_not_block(runner: Git) -> None:
    oids = [f"{number:040x}" for number in range(1500)]
    for oid in oids:
        path = loose(runner, oid)
        path.parent.mkdir(exist_ok=True)
        path.touch()
    program = (
        "reading = Reading(runner)\n"
        "oids = [f'{number:040x}' for number in range(1500)]\n"
        "print(reading.many(oids), [one for one in map(reading.find, oids) if one], reading.object(head).oid == head)\n"
        "reading.close()\n"
    )
    assert in_child(runner, program) == "{} [] True\n"


def test_a_parent_that_ignores_its_children(runner: Git) -> None:
    """As some service managers start programs: the kernel then keeps no exit status for us."""
    program = (
        "import sys, subprocess\n"
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        "os.chdir(runner.directory)\n"
        f"os.execv({SCRIPT!r}, ['git-deployments', 'list'])\n"
    )
    assert in_child(runner, program) == ""


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
@pytest.mark.parametrize("command", [["list"], ["live", "etl/prod"], ["fsck"], ["rollback", "etl/prod"]])
def test_closed_standard_descriptors(runner: Git, closed: tuple[int, ...], command: list[str]) -> None:
    """Pipes of ours then get these numbers; nothing may be written into one by mistake."""
    error = Path(runner.directory).with_name("error")
    redirections = " ".join(f"{number}>&-" for number in closed)
    script = f'cd "$1" && shift && exec "$@" {redirections}'
    if 2 not in closed:
        script += ' 2>"$ERROR"'
    done = subprocess.run(
        ["sh", "-c", script, "sh", runner.directory, SCRIPT, *command],
        env={**os.environ, "ERROR": str(error)},
        timeout=15,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    said = error.read_text() if error.exists() else ""
    assert "Traceback" not in said
    assert done.returncode in {"live": (1, 128), "rollback": (128,)}.get(command[0], (0, 141))


def test_a_host_that_ignores_its_children_is_told(runner: Git) -> None:
    """No answer may be taken for granted whose exit status is lost."""
    program = (
        "from git_deployments import DeploymentsError\n"
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        "try:\n"
        "    print(runner.line('rev-parse', 'HEAD') == head)\n"
        "except DeploymentsError as error:\n"
        "    print('SIGCHLD' in str(error))\n"
    )
    assert in_child(runner, program) == "True\n"


def test_an_interrupted_question_does_not_spoil_the_next_one(runner: Git) -> None:
    """Whoever goes on after Ctrl-C, in a notebook for instance, must not be given the answer to the old question."""
    program = (
        "large = runner.store('blob', b'x' * (64 << 20))\n"
        "def stop(number, frame):\n"
        "    raise KeyboardInterrupt\n"
        "signal.signal(signal.SIGALRM, stop)\n"
        "reading, stopped = Reading(runner), 0\n"
        "reading.object(head)\n"
        "for delay in (0.005, 0.01, 0.02, 0.04):\n"
        "    signal.setitimer(signal.ITIMER_REAL, delay)\n"
        "    try:\n"
        "        reading.object(large)\n"
        "    except KeyboardInterrupt:\n"
        "        stopped += 1\n"
        "    signal.setitimer(signal.ITIMER_REAL, 0)\n"
        "    found = reading.object(head)\n"
        "    assert (found.oid, found.kind) == (head, 'commit')\n"
        "print(stopped > 0)\n"
    )
    assert in_child(runner, program) == "True\n"


def test_more_descriptors_than_select_can_take(runner: Git) -> None:
    program = (
        "import resource\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (2048, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))\n"
        "kept = [os.dup(0) for _ in range(1100)]\n"
        "print(runner.line('rev-parse', 'HEAD') == head, Reading(runner).object(head).kind)\n"
    )
    assert in_child(runner, program) == "True commit\n"


def test_an_interruption_ends_git_too(runner: Git) -> None:
    program = (
        "def stop(number, frame):\n"
        "    raise KeyboardInterrupt\n"
        "signal.signal(signal.SIGALRM, stop)\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.3)\n"
        "try:\n"
        "    runner.run('-c', 'alias.nap=!exec sleep 600', 'nap')\n"
        "except KeyboardInterrupt:\n"
        "    try:\n"
        "        os.waitpid(-1, os.WNOHANG)\n"
        "    except ChildProcessError:\n"
        "        print('nothing left', sorted(map(int, os.listdir('/dev/fd')))[:-1])\n"
    )
    assert in_child(runner, program) == "nothing left [0, 1, 2]\n"


def test_a_thousand_calls_leave_nothing_behind(runner: Git) -> None:
    """The fixture looks for descriptors and processes; here they would be a thousand."""
    reading = Reading(runner)
    newest = head(runner)
    for number in range(500):
        assert runner.ask("version")[0] == 0
        code, _, _ = runner.ask("no-such-command") if number % 50 == 0 else runner.ask("version", stdin=b"x")
        assert code in (0, 1)
        if number % 50 == 0:
            next(runner.commits(newest))
            reading.close()
            assert len(os.listdir("/dev/fd")) < 60
        assert reading.object(newest)
    reading.close()


# Refs


def test_refs_are_listed_by_name_whatever_their_bytes(runner: Git) -> None:
    oid = head(runner)
    names = [
        f"{ROOT}/é",
        f"{ROOT}/line\N{LINE SEPARATOR}separator",
        f"{ROOT}/next\x85line",
        f"{ROOT}/\udcff",
        f"{ROOT}/ü",
    ]
    runner.move_refs([RefChange(name, oid, None) for name in names])
    assert runner.refs(ROOT) == sorted(((name, oid) for name in names), key=lambda one: os.fsencode(one[0]))
    runner.move_refs([RefChange(name, None, oid) for name in names])
    assert runner.refs(ROOT) == []


def test_a_transaction_moves_all_or_nothing(runner: Git) -> None:
    old, new = head(runner, "HEAD~1"), head(runner)
    runner.move_refs([RefChange(f"{ROOT}/live", old, None), RefChange(f"{ROOT}/log", old, None)])
    for bad in (
        RefChange(f"{ROOT}/log", new, new[:-1] + ("0" if new[-1] != "0" else "1")),
        RefChange(f"{ROOT}/log", new, None),
        RefChange(f"{ROOT}/log", new, new[::-1]),
        RefChange(f"{ROOT}/log", None, new),
        RefChange(f"{ROOT}/log", new, new),
        RefChange(f"{ROOT}/log", None, None),
        RefChange(f"{ROOT}/gone", new, old),
        RefChange(f"{ROOT}/gone", None, old),
        RefChange(f"{ROOT}/gone", old, old),
    ):
        before = runner.refs(ROOT)
        with pytest.raises(LostRace) as lost:
            runner.move_refs([RefChange(f"{ROOT}/live", new, old), bad])
        assert str(lost.value).isprintable()
        assert runner.refs(ROOT) == before, bad
    runner.move_refs(
        [
            RefChange(f"{ROOT}/live", new, old),
            RefChange(f"{ROOT}/log", None, old),
            RefChange(f"{ROOT}/gone", None, None),
        ]
    )
    assert runner.refs(ROOT) == [(f"{ROOT}/live", new)]


@pytest.mark.parametrize(
    "wrong",
    [
        RefChange(f"{ROOT}/live/below", "HEAD", None),
        RefChange("refs/deployments", "HEAD", None),
        RefChange(f"{ROOT}/a..b", "HEAD", None),
        RefChange(f"{ROOT}/a b", "HEAD", None),
        RefChange(f"{ROOT}/x", "1" * 40, None),
        RefChange(f"{ROOT}/{'x' * 300}", "HEAD", None),
    ],
    ids=["below a ref", "above a ref", "dots", "blank", "missing object", "too long"],
)
def test_what_can_never_be_written_is_no_lost_race(runner: Git, wrong: RefChange) -> None:
    """A lost race is tried again; this would be tried for ever."""
    oid = head(runner)
    runner.move_refs([RefChange(f"{ROOT}/live", oid, None)])
    new = oid if wrong.new == "HEAD" else wrong.new
    with pytest.raises(GitFailed) as failed:
        runner.move_refs([RefChange(f"{ROOT}/other", oid, None), wrong._replace(new=new)])
    assert str(failed.value).isprintable()
    assert runner.refs(ROOT) == [(f"{ROOT}/live", oid)]


@pytest.mark.parametrize("locked", [False, True])
def test_many_refs_that_move_together_are_packed_where_that_can_be_done(runner: Git, locked: bool) -> None:
    common = Path(runner.directory, ".git")
    if locked:
        (common / "packed-refs.lock").touch()
    oid = head(runner)
    changes = [RefChange(f"{ROOT}/versions/{number}", oid, None) for number in range(1000)]
    runner.move_refs(changes[1:])
    assert not (common / "packed-refs").exists()
    runner.move_refs([change._replace(old=change.new if number else None) for number, change in enumerate(changes)])
    assert len(runner.refs(ROOT)) == 1000
    loose = [path for path in (common / ROOT).rglob("*") if path.is_file()]
    assert len(loose) == (1000 if locked else 0)


@pytest.mark.parametrize("left", [b"", b"\0" * 41, b"words\n"])
def test_a_broken_ref_is_no_lost_race(runner: Git, left: bytes) -> None:
    oid = head(runner)
    runner.move_refs([RefChange(f"{ROOT}/live", oid, None)])
    Path(runner.directory, ".git", ROOT, "live").write_bytes(left)
    for old in (oid, None):
        with pytest.raises(GitFailed, match="broken"):
            runner.move_refs([RefChange(f"{ROOT}/live", oid, old)])


def test_a_symbolic_ref_is_moved_itself_and_not_what_it_points_to(runner: Git) -> None:
    old, new = head(runner, "HEAD~1"), head(runner)
    runner.move_refs([RefChange(f"{ROOT}/versions/1", old, None)])
    runner.run("symbolic-ref", f"{ROOT}/live", f"{ROOT}/versions/1")
    runner.move_refs([RefChange(f"{ROOT}/live", new, old)])
    assert dict(runner.refs(ROOT)) == {f"{ROOT}/live": new, f"{ROOT}/versions/1": old}


def test_a_lock_that_goes_is_waited_for(runner: Git) -> None:
    oid = head(runner)
    runner.move_refs([RefChange(f"{ROOT}/live", oid, None)])
    lock = Path(runner.directory, ".git", ROOT, "live.lock")
    lock.touch()
    timer = threading.Timer(0.3, lock.unlink)
    timer.start()
    runner.move_refs([RefChange(f"{ROOT}/live", None, oid)])
    timer.join()
    assert runner.refs(ROOT) == []


def test_a_lock_that_stays_is_named(runner: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    short = {word: f"{word.partition('=')[0]}=50" for word in git.LOCK_WAIT if word != "-c"}
    monkeypatch.setattr(git, "MOVE_REFS", tuple(short.get(word, word) for word in git.MOVE_REFS))
    oid = head(runner)
    runner.move_refs([RefChange(f"{ROOT}/live", oid, None)])
    for name, change in (
        (f"{ROOT}/live.lock", RefChange(f"{ROOT}/live", oid, oid)),
        (f"{ROOT}/live.lock", RefChange(f"{ROOT}/live", None, oid)),
        ("packed-refs.lock", RefChange(f"{ROOT}/live", None, oid)),
    ):
        lock = Path(runner.directory, ".git", name)
        lock.touch()
        with pytest.raises(Locked) as locked:
            runner.move_refs([change])
        assert str(lock) in str(locked.value)
        assert "fsck --repair" in str(locked.value)
        lock.unlink()
    assert runner.refs(ROOT) == [(f"{ROOT}/live", oid)]


def test_nothing_to_move_is_nothing(runner: Git) -> None:
    runner.move_refs([])
    assert runner.refs(ROOT) == []


# Configuration


def test_configuration_as_git_has_it(repository: Repository) -> None:
    repository.write(
        ".git/config",
        "[core]\n\trepositoryformatversion = 0\n[deployments]\n\tkeepRefs = 5\n\tpush\n\tempty =\n"
        '\tonLive = one\n\tonLive = "two\\nlines"\n[Remote "My.Hub=x"]\n\tURL = a=b\n[deployments]\n\tkeeprefs = 6\n',
    )
    config = at(str(repository.path), dict(os.environ)).config()
    assert config["deployments.keeprefs"] == ["5", "6"]
    assert config["deployments.push"] == ["true"]
    assert config["deployments.empty"] == [""]
    assert config["deployments.onlive"] == ["one", "two\nlines"]
    assert config["remote.My.Hub=x.url"] == ["a=b"]


def test_configuration_of_the_environment_wins(repository: Repository, tmp_path: Path) -> None:
    (tmp_path / "included").write_text("[deployments]\n\tremote = included\n")
    repository.git("config", "include.path", str(tmp_path / "included"))
    counted = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "deployments.remote", "GIT_CONFIG_VALUE_0": "counted"}
    parameters = {"GIT_CONFIG_PARAMETERS": "'deployments.remote=parameter' 'deployments.push'"}
    config = at(str(repository.path), {**os.environ, **counted, **parameters}).config()
    assert config["deployments.remote"] == ["included", "counted", "parameter"] or config["deployments.remote"] == [
        "included",
        "parameter",
        "counted",
    ]
    assert config["deployments.push"] == ["true"]


@pytest.mark.parametrize(
    ("listing", "values"),
    [
        (b"", {}),
        (b"a.b\n\0", {"a.b": [""]}),
        (b"a.b\0", {"a.b": ["true"]}),
        (b"a.b\n1\0a.b\n2\0c.D.e\nx\ny\n\0", {"a.b": ["1", "2"], "c.D.e": ["x\ny\n"]}),
        (b"a.b\n\xff\0", {"a.b": ["\udcff"]}),
    ],
)
def test_a_listing_is_taken_apart(listing: bytes, values: dict[str, list[str]]) -> None:
    assert parse_config(listing) == values


def test_a_broken_configuration_is_one_line(repository: Repository) -> None:
    repository.write(".git/config", "[core\n")
    broken: Callable[[], object] = at(str(repository.path), dict(os.environ)).config
    with pytest.raises(GitFailed, match="bad config line 1"):
        broken()


@pytest.mark.parametrize("module", ["cli", "console", "moving"])
def test_an_interrupt_while_the_command_is_still_imported_is_no_traceback(runner: Git, module: str) -> None:
    """^C at that moment: a finder of modules sends it when ours is looked for."""
    code = (
        "import os, signal, sys\n"
        "from git_deployments.__main__ import main\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == 'git_deployments.{module}':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\n"
        "sys.argv[1:] = ['rollback', 'etl/prod']\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=runner.directory, capture_output=True, text=True)
    assert done.stderr.strip() == ""
    assert done.returncode in (-signal.SIGINT, 130)
