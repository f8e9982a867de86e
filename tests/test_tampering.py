"""One table of everything that plain git may try against a guarded hub; each way there refuses all of it.

What is said of each, and what is allowed beside it, is in `test_guard`.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .conftest import Project, prepared
from .test_guard import (
    LIVE,
    LOG,
    PREFIX,
    SETTINGS,
    Hub,
    again,
    build,
    deployed,
    documents,
    moved,
    push_v5,
    snapshot,
    store,
    version,
)
from .test_sync_http import serving

DEV = "refs/deployments/etl/dev"
Specs = list[str]


def at(project: Project, number: int) -> str:
    return project.git("rev-parse", f"{PREFIX}/versions/{number}")


def promoted(project: Project, **changes: str) -> Specs:
    """A push of a promotion to v4, its event tampered with."""
    return [f"{moved(project, 4, **changes)}:{LOG}", f"+{at(project, 4)}:{LIVE}"]


def made(project: Project, document: str | bytes) -> Specs:
    """A push of a v5 with this deployment.json."""
    commit = version(project, snapshot(project, document))
    return push_v5(commit, deployed(project, commit))


def another_v4(project: Project) -> Specs:
    other = again(project, f"{PREFIX}/versions/4", {"Version": "forged"}, None, at(project, 3))
    return [f"+{other}:{PREFIX}/versions/4"]


def replaced_log(project: Project) -> Specs:
    settings = project.git("rev-parse", f"{LOG}^{{tree}}")
    event = again(project, f"{LOG}~4", {"Actor": "eve"}, settings, at(project, 1))
    return [f"+{event}:{LOG}", f"+{at(project, 1)}:{LIVE}"]


def forked_log(project: Project) -> Specs:
    event = again(project, LOG, {"To": "1", "Live-Commit": at(project, 1)}, None, project.git("rev-parse", f"{LOG}~1"))
    return [f"+{event}:{LOG}", f"+{at(project, 1)}:{LIVE}"]


def unlinked_version(project: Project) -> Specs:
    other = again(project, f"{PREFIX}/versions/4", {"Number": "5", "Version": "0.0.5"}, None, at(project, 2))
    return push_v5(other, deployed(project, other))


def skipped_number(project: Project) -> Specs:
    other = version(project, Number="6")
    event = deployed(project, other, Number="6", Latest="6", To="6")
    return [f"{other}:{PREFIX}/versions/6", f"+{other}:{LIVE}", f"{event}:{LOG}"]


def extra_file(project: Project) -> Specs:
    entries = project.git("ls-tree", f"{PREFIX}/versions/4")
    tree = project.git("mktree", "--missing", stdin=f"{entries}\n100755 blob {store(project, 'blob', 'x')}\tevil.sh\n")
    commit = version(project, tree)
    return push_v5(commit, deployed(project, commit))


def other_gitlink(project: Project) -> Specs:
    blob = project.git("rev-parse", f"{PREFIX}/versions/4:deployment.json")
    code = project.git("rev-parse", "HEAD~1")
    entries = f"100644 blob {blob}\tdeployment.json\n160000 commit {code}\tsource\n"
    commit = version(project, project.git("mktree", "--missing", stdin=entries))
    return push_v5(commit, deployed(project, commit))


def large_settings(project: Project) -> Specs:
    blob = store(project, "blob", b"x" * (2 << 20))
    tree = project.git("mktree", stdin=f"100644 blob {blob}\t{SETTINGS}\n")
    event = again(project, LOG, {"Action": "update", "To": "2", "From": "2"}, tree, project.git("rev-parse", LOG))
    return [f"{event}:{LOG}"]


def changed_settings(project: Project) -> Specs:
    text = project.git("show", f"{LOG}:{SETTINGS}").replace('"concurrency_limit": null', '"concurrency_limit": 3')
    tree = project.git("mktree", stdin=f"100644 blob {store(project, 'blob', text + chr(10))}\t{SETTINGS}\n")
    target = at(project, 4)
    told = {"Action": "promote", "From": "2", "To": "4", "Live-Commit": target, "Version": "0.0.4"}
    code = project.git("rev-parse", f"{target}:source")
    event = again(project, LOG, {**told, "Source-Commit": code}, tree, project.git("rev-parse", LOG))
    return [f"{event}:{LOG}", f"+{target}:{LIVE}"]


def tag_for_log(project: Project) -> Specs:
    text = f"object {project.git('rev-parse', LOG)}\ntype commit\ntag x\ntagger A <a@b> 0 +0000\n\nx\n"
    return [f"+{store(project, 'tag', text)}:{LOG}"]


def other_case(project: Project) -> Specs:
    """A deployment of its own whose name differs only by case."""
    first = again(project, f"{PREFIX}/versions/1", {"Deployment": "etl/PROD"})
    told = {"Deployment": "etl/PROD", "Live-Commit": first, "Latest-Commit": first}
    event = again(project, f"{LOG}~4", told, None, first)
    name = "refs/deployments/etl/PROD"
    return [f"{first}:{name}/versions/1", f"{first}:{name}/live", f"{event}:{name}/log"]


TABLE: list[tuple[str, Callable[[Project], Specs], str]] = [
    ("a version is changed", another_v4, "versions/4 may not be changed"),
    ("a version becomes another", lambda ada: [f"+{at(ada, 3)}:{PREFIX}/versions/4"], "versions/4 may not be changed"),
    ("a version is deleted", lambda _: [f":{PREFIX}/versions/1"], "versions/1 may not be removed"),
    ("the live version is deleted", lambda _: [f":{PREFIX}/versions/2"], "versions/2 may not be removed"),
    ("the log is rewound", lambda _: [f"+{LOG}~1:{LOG}"], "its log may not be rewound"),
    ("the log is rewound with live", lambda ada: [f"+{LOG}~1:{LOG}", f"+{at(ada, 4)}:{LIVE}"], "may not be rewound"),
    ("the log is forked", forked_log, "its log may not be replaced by another"),
    ("the log is replaced", replaced_log, "its log may not be replaced by another"),
    ("the log is deleted", lambda _: [f":{LOG}"], "deployments.allowDelete is not set"),
    ("all is deleted", lambda ada: [f":{ref}" for ref in ada.refs()], "deployments.allowDelete is not set"),
    ("live is deleted", lambda _: [f":{LIVE}"], "live would be at nothing"),
    ("live is moved alone", lambda ada: [f"+{at(ada, 3)}:{LIVE}"], "but its log says v2"),
    ("live is elsewhere than its event", lambda ada: [f"{moved(ada, 4)}:{LOG}"], "but its log says v4"),
    ("live is a commit of the code", lambda _: [f"+HEAD:{LIVE}"], "live would be at"),
    ("live is an event", lambda _: [f"+{LOG}:{LIVE}"], "live would be at"),
    ("an event has another From", lambda ada: promoted(ada, From="4"), "From is 4, but 2 was live before it"),
    ("an event has another action", lambda ada: promoted(ada, Action="rollback"), "rollback cannot move live from 2"),
    ("an event has no known action", lambda ada: promoted(ada, Action="explode"), "the trailer Action is 'explode'"),
    ("an event names another latest", lambda ada: promoted(ada, Latest="3"), "Latest changes without a new version"),
    ("an event names another version", lambda ada: promoted(ada, Version="x"), "Version or Source-Commit is not that"),
    ("an event holds what it may not", lambda ada: promoted(ada, Hold="true"), "Hold is set after it"),
    ("an event is of another", lambda ada: promoted(ada, Deployment="etl/dev"), "is of 'etl/dev'"),
    ("an event is of no format", lambda ada: promoted(ada, Format=""), "no trailers of ours"),
    ("an event is of a later format", lambda ada: promoted(ada, Format="2"), "is of format 2"),
    ("an event changes settings", changed_settings, "it changes the settings"),
    ("a version is not in the log", lambda ada: [f"{version(ada)}:{PREFIX}/versions/5"], "its log does not reach"),
    ("a version follows another", unlinked_version, "v5 has the parent"),
    ("a number is left out", skipped_number, "it makes v6 after v4"),
    ("a version has no log", lambda ada: [f"{at(ada, 1)}:{DEV}/versions/1"], "it has no log here"),
    ("a log is a version's", lambda ada: [f"{at(ada, 1)}:{DEV}/log"], "it is no event of a log"),
    ("a log is a tag", tag_for_log, "a tag stands where a commit belongs"),
    ("a log is code", lambda _: [f"+HEAD:{LOG}"], "its message ends in no trailers of ours"),
    ("a version is a blob", lambda ada: [f"{store(ada, 'blob', 'x')}:{PREFIX}/versions/5"], "its log does not reach"),
    ("a source is a tree", lambda _: [f"HEAD^{{tree}}:{PREFIX}/sources/4"], "which is not the code of a v4"),
    ("a source is other code", lambda _: [f"HEAD~3:{PREFIX}/sources/4"], "which is not the code of a v4"),
    ("a tree holds more", extra_file, "its tree holds something else"),
    ("a gitlink is other code", other_gitlink, "but Source-Commit says"),
    ("an unknown kind of ref", lambda _: [f"{LIVE}:{PREFIX}/other"], "no ref of a deployment has such a name"),
    ("a number that is none", lambda _: [f"{LIVE}:{PREFIX}/versions/05"], "no ref of a deployment has such a name"),
    ("a name that is not encoded so", lambda _: [f"{LIVE}:refs/deployments/etl/pr%6Fd/live"], "no ref of a deployment"),
    ("a snapshot that is no JSON", lambda ada: made(ada, "nothing"), "it is no JSON document"),
    ("a snapshot with another key", lambda ada: made(ada, documents(ada)["a key too many"][0]), "its keys are not"),
    ("a snapshot that is not canonical", lambda ada: made(ada, documents(ada)["not canonical"][0]), "not canonical"),
    ("a snapshot that is too large", lambda ada: made(ada, documents(ada)["huge"][0]), "more than deployments.maxSnap"),
    ("settings that are too large", large_settings, f"its {SETTINGS} has 2097152 bytes"),
    ("a name that differs by case", other_case, "it differs from 'etl/prod' only by case"),
]


@pytest.fixture(params=["file", "http"])
def hub(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Hub]:
    prepared(tmp_path, build)
    with serving(tmp_path) as server:
        url = f"{server.url}/hub.git" if request.param == "http" else f"file://{tmp_path}/hub.git"
        Project(tmp_path / "ada").git("remote", "set-url", "origin", url)
        yield Hub(tmp_path, url)


def test_everything_that_plain_git_may_try_is_refused_in_one_clear_line(hub: Hub) -> None:
    before = hub.hub.refs()
    wrong = {}
    for what, tamper, saying in TABLE:
        result = hub.push(*tamper(hub.ada))
        said = [line.removeprefix("remote: ").strip() for line in result.err.splitlines() if "remote: " in line[:8]]
        clear = all(line.startswith(("etl/", "refs/deployments/")) and line.isprintable() for line in said)
        if result.code != 1 or not clear or not any(saying in line for line in said) or hub.hub.refs() != before:
            wrong[what] = result
    assert not wrong
    assert hub.hub.ok("fsck").out == ""
    assert subprocess.run(["git", "fsck", "--strict"], cwd=hub.hub.path, capture_output=True).returncode == 0
