"""What servers, scripts and people at a prompt lean on: the guard, many questions, completion."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from git_deployments.codec import SNAPSHOT
from git_deployments.model import PROPERTIES
from git_deployments.repository import KEEP_REFS
from tests.benchmarks import manifests
from tests.benchmarks.histories import NAME, Plan, history
from tests.benchmarks.measure import Command, alternate, each, peak
from tests.benchmarks.sandbox import SCRIPT, Sandbox, check, environment, progress, repository
from tests.benchmarks.table import Row, Target, rate, ratio

DEPLOYMENTS = 1000
NAME_ONE = manifests.name(1)
COMPLETION = Path(__file__).resolve().parents[2] / "docs" / "completion" / "git-deployments.bash"
_ROUNDS = 7


class _Push(NamedTuple):
    """What is pushed, again and again, to a new copy of the same hub."""

    what: str
    sandbox: Sandbox
    base: Path
    """The hub before it."""
    target: float


_GUARD = ("pre-receive",)
_BOTH = ("pre-receive", "post-receive")


def guard(scratch: Path) -> Iterator[Row]:
    """A push to a hub with our hooks against the same push to one without, beyond the start of the hooks."""
    for make in (_deploys_of_many, _deploys_of_one, _moves_of_many, _moves_of_one):
        push = make(scratch)
        starts = [push.sandbox.command("sh", "-c", f"{SCRIPT} hook {hook}") for hook in _BOTH]
        rounds = [[_to(push, n, hooks) for hooks in (_GUARD, _BOTH, ())] + starts for n in range(_ROUNDS + 1)]
        # The first round runs twice, and the second time there is nothing left to push.
        guarded, told, without, *start = (column[1:] for column in each(rounds))
        beyond = [one - own for one, own in zip(guarded, start[0], strict=True)]
        yield ratio(f"guarded push of {push.what}, beyond start-up", "the push without", beyond, without, push.target)
        beyond = [one - sum(own) for one, *own in zip(told, *start, strict=True)]
        yield ratio("  with post-receive telling of each", "the push without", beyond, without)
        yield ratio("  the whole of it", "the push without", told, without)


def _to(push: _Push, number: int, hooks: tuple[str, ...]) -> Command:
    hub = push.base.with_name(f"{push.base.name}-{len(hooks)}-{number}")
    shutil.copytree(push.base, hub)
    if hooks:
        Sandbox(hub, push.sandbox.environment).run(SCRIPT, "hook", "install")
    for other in set(_BOTH) - set(hooks) if hooks else ():
        (hub / "hooks" / other).unlink()
    return push.sandbox.command("git", "push", "-q", "--atomic", str(hub), "+refs/deployments/*:refs/deployments/*")


def _hub(sandbox: Sandbox) -> Path:
    """A bare copy of all that is there."""
    path = sandbox.path.with_name(f"{sandbox.path.name}-hub")
    sandbox.run("git", "clone", "-q", "--mirror", str(sandbox.path), str(path))
    return path


def _deploys_of_many(scratch: Path) -> _Push:
    sandbox = repository(scratch / "guard-deploys", manifests.files(DEPLOYMENTS))
    base = _hub(sandbox)
    sandbox.run(SCRIPT, "deploy", "--all", "-q")
    return _Push(f"{DEPLOYMENTS:,} deployments", sandbox, base, 1.5)


def _deploys_of_one(scratch: Path) -> _Push:
    short = history(scratch / "guard-history", Plan(1000, keep=0))
    base = scratch / "guard-history-hub"
    short.run("git", "init", "-q", "--bare", str(base))
    short.run("git", "push", "-q", str(base), "main")
    return _Push("1,000 deploys of one deployment", short, base, 1.5)


_MOVE_ALL = """
import git_deployments
there = git_deployments.open()
for one in there.list():
    there.rollback(one.name)
"""
_MOVE_ONE = """
import git_deployments
there = git_deployments.open()
for _ in range(500):
    there.rollback("etl/prod", "1")
    there.promote("etl/prod")
"""


def _moves_of_many(scratch: Path) -> _Push:
    sandbox = repository(scratch / "guard-moves", manifests.files(DEPLOYMENTS))
    for _ in range(2):
        sandbox.run(SCRIPT, "deploy", "--all", "-q")
    return _moved(f"moves of {DEPLOYMENTS:,} deployments", sandbox, _MOVE_ALL)


def _moves_of_one(scratch: Path) -> _Push:
    sandbox = history(scratch / "guard-back-and-forth", Plan(10))
    return _moved("1,000 moves of one deployment", sandbox, _MOVE_ONE)


def _moved(what: str, sandbox: Sandbox, code: str) -> _Push:
    base = _hub(sandbox)
    progress(f"{what}: making them")
    sandbox.run(sys.executable, "-c", code)
    check(sandbox)
    return _Push(what, sandbox, base, 3.0)


def memory(scratch: Path) -> Iterator[Row]:
    """What the guard needs where a snapshot of 30 MB is pushed: by default it is refused."""
    if not os.path.isdir("/proc/self/task"):
        progress("guard-memory: left out, there is no /proc to read it from")
        return
    sandbox = history(scratch / "guard-memory", Plan(10))
    log, live = (sandbox.run("git", "rev-parse", f"refs/deployments/{NAME}/{kind}") for kind in ("log", "live"))
    document = {**PROPERTIES, "description": "x" * (30 << 20)}
    large = sandbox.path / "large"
    large.write_text(json.dumps(document, sort_keys=True, indent=2) + "\n")
    sandbox.run("git", "config", "deployments.maxSnapshotSize", "64m")
    blob = sandbox.run("git", "hash-object", "-w", str(large))
    code = sandbox.run("git", "rev-parse", f"{live}:source")
    (sandbox.path / "tree").write_text(f"100644 blob {blob}\t{SNAPSHOT}\n160000 commit {code}\tsource\n")
    tree = sandbox.run("sh", "-c", "git mktree --missing <tree")
    made = _again(sandbox, live, tree, ("Number: 10", "Number: 11"), live)
    told = [(f"{key}: 10", f"{key}: 11") for key in ("Number", "To", "Latest")]
    told += [("From: 9", "From: 10"), (live, made)]
    event = _again(sandbox, log, f"{log}^{{tree}}", *told, log, made)
    zero = "0" * len(log)
    moves = ((zero, made, "versions/11"), (live, made, "live"), (log, event, "log"))
    lines = "".join(f"{old} {new} refs/deployments/{NAME}/{kind}\n" for old, new, kind in moves)
    (sandbox.path / "push").write_text(lines)
    for limit, target in (("1m", Target(100)), ("64m", None)):
        sandbox.run("git", "config", "deployments.maxSnapshotSize", limit)
        wanted = 1 if limit == "1m" else 0
        command = sandbox.command("sh", "-c", f"{SCRIPT} hook pre-receive <push 2>&1; test $? = {wanted}")
        peaks = [peak(command).bound for _ in range(3)]
        what = f"memory of the guard, 30 MB snapshot {'refused' if wanted else 'allowed'}"
        yield Row(what, "", tuple(peaks), "MB", target)


def _again(sandbox: Sandbox, commit: str, tree: str, *rest: tuple[str, str] | str) -> str:
    """A commit like another one with words of its message replaced, and other parents."""
    message = sandbox.run("git", "log", "-1", "--format=%B", commit)
    for pair in rest:
        if isinstance(pair, tuple):
            message = message.replace(*pair)
    (sandbox.path / "message").write_text(message)
    parents = [word for one in rest if isinstance(one, str) for word in ("-p", one)]
    return sandbox.run("git", "commit-tree", sandbox.run("git", "rev-parse", tree), *parents, "-F", "message")


# At 1,000 deployments with 100 versions each


def _large(scratch: Path) -> Sandbox:
    path = scratch / "large"
    if not path.exists():
        names = tuple(map(manifests.name, range(DEPLOYMENTS)))
        history(path, Plan(KEEP_REFS, names, manifests.files(DEPLOYMENTS)))
    return Sandbox(path, environment(scratch))


def listing(scratch: Path) -> Iterator[Row]:
    """`list --json`, beyond start-up, against git's own reading of the same."""
    large = _large(scratch)
    one = history(scratch / "listing-one", Plan(1))
    listed = ("list", "--json")
    git = large.command("git", "for-each-ref", "--format=%(trailers)", "refs/deployments/**/log")
    times, base, start = alternate(15, [large.ours(*listed), git, one.ours(*listed)])
    beyond = [time - other for time, other in zip(times, start, strict=True)]
    what = f"list --json ({DEPLOYMENTS:,} × {KEEP_REFS} versions), beyond start-up"
    yield ratio(what, "git for-each-ref %(trailers) …/log", beyond, base, 2.5)


_ASK = """
import subprocess, sys, time
names = [line.strip() for line in open(sys.argv[1])]
questions = [f"{names[n % len(names)]}\\t{version}\\n".encode() for n in range(5000) for version in sys.argv[2:]]
with subprocess.Popen(["git-deployments", "show", "--batch"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as asked:
    asked.stdin.write(questions[0]); asked.stdin.flush(); asked.stdout.readline()
    start = time.perf_counter()
    for question in questions:
        asked.stdin.write(question)
        asked.stdin.flush()
        assert b'"error"' not in asked.stdout.readline()
    print(len(questions) / (time.perf_counter() - start))
    asked.stdin.close()
"""


def batch(scratch: Path) -> Iterator[Row]:
    """`show --batch`, each question asked when the one before is answered."""
    large = _large(scratch)
    kinds = {
        "one deployment": ([NAME_ONE], ("live",)),
        f"{DEPLOYMENTS:,} deployments": ([manifests.name(n) for n in range(DEPLOYMENTS)], ("live",)),
        f"{DEPLOYMENTS:,} deployments, v1": ([manifests.name(n) for n in range(DEPLOYMENTS)], ("v1",)),
    }
    for what, (names, versions) in kinds.items():
        (scratch / "names").write_text("".join(f"{name}\n" for name in names))
        command = (sys.executable, "-c", _ASK, str(scratch / "names"), *versions)
        seconds = [1 / float(large.run(*command)) for _ in range(5)]
        target = 5000.0 if versions == ("live",) else None
        yield rate(f"show --batch, question by question, {what}", 1, seconds, target)._replace(note="")


_COMPLETE = """
. {git}
. {ours}
COMP_WORDS=(git deployments rollback {words})
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
COMP_LINE="${{COMP_WORDS[*]}}" COMP_POINT=1000
for round in 1 2 3 4 5 6 7 8 9 10 11 12; do
    start=$EPOCHREALTIME
    __git_wrap__git_main 2>/dev/null
    end=$EPOCHREALTIME
    echo "$((${{end/./}} - ${{start/./}})) ${{#COMPREPLY[@]}}"
done
"""


def completion(scratch: Path) -> Iterator[Row]:
    """Completion in bash, through git's own, in a shell that runs already."""
    git = "/usr/share/bash-completion/completions/git"
    if not os.path.isfile(git):
        progress("completion: left out, git's completion is not there")
        return
    large = _large(scratch)
    cases = {
        "rollback <TAB>": ("''", DEPLOYMENTS, 50.0),
        "rollback flow-01/deployment-00<TAB>": ("flow-01/deployment-00", 5, 15.0),
        "rollback flow-01<TAB>": ("flow-01", DEPLOYMENTS // manifests.FLOWS, 15.0),
        "rollback deployment-0001<TAB>": ("deployment-0001", 1, None),
        "rollback NAME <TAB>": (f"{NAME_ONE} ''", 3 + KEEP_REFS, None),
    }
    for what, (words, count, target) in cases.items():
        out = large.run("bash", "--norc", "-c", _COMPLETE.format(git=git, ours=COMPLETION, words=words))
        rows = [line.split() for line in out.split("\n")][1:]
        if any(int(found) != count for _, found in rows):
            sys.exit(f"completion of {what}: {rows[0][1]} offered, {count} expected")
        times = tuple(int(time) / 1000 for time, _ in rows)
        note = f"{DEPLOYMENTS:,} × {KEEP_REFS} versions"
        yield Row(what, "", times, "ms", Target(target) if target else None, note)
