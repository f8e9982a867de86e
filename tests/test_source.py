"""Where a version comes from: each platform's variables, and what is left where some are missing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_deployments.model import Run, VersionInfo
from git_deployments.source import (
    TYPES,
    Checkout,
    SourceUnknown,
    ci_identity,
    collect,
    notes,
    repository_of,
    run_of,
    without_credentials,
)

SHA = "0123456789abcdef0123456789abcdef01234567"
HEAD = "89abcdef" * 5
MESSAGES = {SHA: "Tune the batch size", HEAD: "Read the new feed"}
CHECKOUT = Checkout(HEAD, "main", "https://git.example.com/team/etl.git")

GITHUB = {
    "GITHUB_SHA": SHA,
    "GITHUB_REF_NAME": "release/2",
    "GITHUB_REPOSITORY": "my-org/my-repo",
    "GITHUB_SERVER_URL": "https://github.com",
}
GITLAB = {
    "CI_COMMIT_SHA": SHA,
    "CI_COMMIT_REF_NAME": "main",
    "CI_PROJECT_NAME": "my-repo",
    "CI_PROJECT_URL": "https://gitlab.com/my-org/my-repo",
}
BITBUCKET = {
    "BITBUCKET_COMMIT": SHA,
    "BITBUCKET_BRANCH": "main",
    "BITBUCKET_REPO_SLUG": "my-repo",
    "BITBUCKET_GIT_HTTP_ORIGIN": "http://bitbucket.org/my-org/my-repo",
}
AZURE = {
    "BUILD_SOURCEVERSION": SHA,
    "BUILD_SOURCEBRANCHNAME": "main",
    "BUILD_REPOSITORY_NAME": "my-repo",
    "BUILD_REPOSITORY_URI": "https://my-org@dev.azure.com/my-org/project/_git/my-repo",
}
EXPECTED = {
    "vcs:github": (GITHUB, "release/2", "my-org/my-repo", f"https://github.com/my-org/my-repo/tree/{SHA}"),
    "vcs:gitlab": (GITLAB, "main", "my-repo", f"https://gitlab.com/my-org/my-repo/-/tree/{SHA}"),
    "vcs:bitbucket": (BITBUCKET, "main", "my-repo", f"http://bitbucket.org/my-org/my-repo/src/{SHA}"),
    "vcs:azuredevops": (
        AZURE,
        "main",
        "my-repo",
        f"https://dev.azure.com/my-org/project/_git/my-repo?version=GC{SHA}",
    ),
}
ROWS = [
    (kind, variable, position)
    for kind, (variables, *_) in EXPECTED.items()
    for position, variable in enumerate(variables)
]


def info(
    env: dict[str, str], checkout: Checkout | None = CHECKOUT, wanted: str | None = None, label: str | None = None
) -> VersionInfo:
    return collect(env, checkout, wanted, label, MESSAGES.get)


@pytest.mark.parametrize("kind", EXPECTED)
def test_a_platform_s_variables_give_all_six_fields(kind: str) -> None:
    env, branch, repository, url = EXPECTED[kind]
    assert info(env) == VersionInfo(kind, SHA[:8], SHA, "Tune the batch size", branch, repository, url)
    assert info(env, wanted=kind) == info(env)


@pytest.mark.parametrize(("kind", "variable", "position"), ROWS)
@pytest.mark.parametrize("left", [None, "", " \n"])
def test_each_row_of_the_platforms_tables_is_needed_but_the_url(
    kind: str, variable: str, position: int, left: str | None
) -> None:
    env = {name: value for name, value in EXPECTED[kind][0].items() if name != variable}
    if left is not None:
        env[variable] = left
    if position == 3:
        assert info(env) == info(EXPECTED[kind][0])._replace(url=None)
    else:
        assert info(env).type == "vcs:git"
        with pytest.raises(SourceUnknown, match=f"^version type '{kind}' is incomplete: {variable} is not set; "):
            info(env, wanted=kind)


@pytest.mark.parametrize("kind", EXPECTED)
@pytest.mark.parametrize("commit", [SHA[:39], SHA[:8], "0" * 40, "0" * 64, SHA + "8", "x" * 40, f"{SHA} {SHA}", "1234"])
def test_an_id_that_is_not_full_is_no_source(kind: str, commit: str) -> None:
    variable = next(iter(EXPECTED[kind][0]))
    env = EXPECTED[kind][0] | {variable: commit}
    assert info(env).type == "vcs:git"
    with pytest.raises(SourceUnknown, match=f"{variable} is not a full commit id"):
        info(env, wanted=kind)


def test_a_sha256_id_and_capital_digits_are_taken() -> None:
    assert info(GITHUB | {"GITHUB_SHA": SHA.upper()}) == info(GITHUB)
    assert info(GITHUB | {"GITHUB_SHA": "ab" * 32}).commit_sha == "ab" * 32


def test_the_first_complete_platform_wins_in_the_table_s_order() -> None:
    every = AZURE | BITBUCKET | GITLAB | GITHUB
    seen = []
    for kind in EXPECTED:
        seen.append(info(every).type)
        del every[next(iter(EXPECTED[kind][0]))]
    assert [*seen, info(every).type, info(every, None).type] == list(TYPES)


def test_wanted_passes_over_what_comes_earlier() -> None:
    assert info(GITHUB, wanted="vcs:git") == info({})
    assert info(GITHUB, wanted="prefect:simple", label="1.0") == VersionInfo("prefect:simple", "1.0")


@pytest.mark.parametrize("wanted", ["vcs:svn", "", "github", "container:docker\x1b[31m"])
def test_an_unknown_type_is_refused_with_the_known_ones(wanted: str) -> None:
    with pytest.raises(SourceUnknown, match=r"^unknown version type '.*'; use one of vcs:github, vcs:gitlab") as error:
        info({}, wanted=wanted)
    assert str(error.value).isprintable()


def test_every_missing_variable_is_named_at_once() -> None:
    with pytest.raises(SourceUnknown, match=r"GITHUB_REF_NAME is not set, GITHUB_REPOSITORY is not set"):
        info({"GITHUB_SHA": SHA}, wanted="vcs:github")


@pytest.mark.parametrize("checkout", [None, Checkout(), Checkout(branch="main", origin="https://h/o/r")])
def test_no_commit_at_all_is_prefect_simple(checkout: Checkout | None) -> None:
    assert info({}, checkout) == VersionInfo("prefect:simple")
    with pytest.raises(SourceUnknown, match=r"'vcs:git' is incomplete: HEAD has no commit"):
        info({}, checkout, wanted="vcs:git")


def test_a_plain_repository_is_vcs_git() -> None:
    assert info({}) == VersionInfo(
        "vcs:git",
        HEAD[:8],
        HEAD,
        "Read the new feed",
        "main",
        "team/etl",
        "https://git.example.com/team/etl.git",
    )


@pytest.mark.parametrize(
    ("checkout", "lost"),
    [
        (CHECKOUT._replace(origin=None), {"repository": None, "url": None}),
        (CHECKOUT._replace(origin=" "), {"repository": None, "url": None}),
        (CHECKOUT._replace(branch=None), {"branch": None}),
        (CHECKOUT._replace(head="cd" * 20), {"message": None, "commit_sha": "cd" * 20, "version": "cd" * 4}),
    ],
)
def test_what_git_does_not_know_loses_only_that_field(checkout: Checkout, lost: dict[str, str | None]) -> None:
    assert info({}, checkout)._asdict() == info({})._asdict() | lost


def test_an_explicit_version_is_the_version() -> None:
    assert info(GITHUB, label="0.0.1") == info(GITHUB)._replace(version="0.0.1")
    assert info({}, label="1.10").version == "1.10"


def test_the_message_is_the_commit_s_and_head_s_where_that_is_not_here() -> None:
    elsewhere = GITHUB | {"GITHUB_SHA": "ee" * 20}
    assert info(GITHUB).message == "Tune the batch size"
    assert info(elsewhere).message == "Read the new feed"
    assert info(elsewhere, None).message is None


def test_an_empty_message_is_null_and_never_another_commit_s() -> None:
    messages = {SHA: "", HEAD: "Read the new feed"}
    assert collect(GITHUB, CHECKOUT, None, None, messages.get).message is None


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("one\ntwo", "one"),
        ("\n one \r\n", "one"),
        ("a\0b", "ab"),
        ("caf\udce9", "caf?"),
        ("Number: 7\vFormat: 2", "Number: 7\vFormat: 2"),
    ],
)
def test_values_are_one_line_that_a_commit_can_hold(text: str, kept: str) -> None:
    env = GITHUB | {"GITHUB_REF_NAME": text}
    assert info(env).branch == kept
    assert collect(GITHUB, CHECKOUT, None, None, {SHA: text}.get).message == kept
    assert info({}, CHECKOUT._replace(branch=text)).branch == kept


@pytest.mark.parametrize(
    ("origin", "repository", "url"),
    [
        ("https://github.com/o/r.git", "o/r", None),
        ("https://github.com/o/r/", "o/r", None),
        ("https://github.com/o/r.git/", "o/r", None),
        ("https://ada:secret@github.com/o/r", "o/r", "https://github.com/o/r"),
        ("https://ghp_secret@github.com/o/r", "o/r", "https://github.com/o/r"),
        ("https://ada:se@cret@host:8443/o/r", "o/r", "https://host:8443/o/r"),
        ("HTTPS://oauth2:secret@gitlab.com/g/sub/deep/r.git", "g/sub/deep/r", "HTTPS://gitlab.com/g/sub/deep/r.git"),
        ("https://ada:se/cr?e#t@host/o/@r", "o/@r", "https://host/o/@r"),
        ("https://ada:secret@host/o/@r", "o/@r", "https://host/o/@r"),
        ("https://host:8443/o/@r", "o/@r", None),
        ("https://host/o/r.git?x=1#y", "o/r", None),
        ("https://host/o/@scope", "o/@scope", None),
        ("https://host", None, None),
        ("ssh://git@host/o/r.git", "o/r", None),
        ("ssh://git@host:2222/o/r.git", "o/r", None),
        ("ssh://git:secret@host/o/r.git", "o/r", "ssh://git@host/o/r.git"),
        ("git+ssh://:secret@host/o/r", "o/r", "git+ssh://host/o/r"),
        ("git@host:o/r.git", "o/r", None),
        ("git@host:g/sub/r", "g/sub/r", None),
        ("host:r.git", "r", None),
        ("host:/srv/git/r.git", "srv/git/r", None),
        ("git:secret@host:o/r.git", "o/r", "git@host:o/r.git"),
        ("[git@host:2222]:o/r.git", "o/r", None),
        ("git@[2001:db8::1]:o/r.git", "o/r", None),
        ("host:o/@scope", "o/@scope", None),
        ("/srv/git/x.git", "x", None),
        ("/srv/git/x.git/", "x", None),
        ("/srv/work/x/.git", "x", None),
        ("file:///srv/git/x.git", "x", None),
        ("file://host/srv/git/x.git", "x", None),
        ("../x", "x", None),
        ("./odd:name/x", "x", None),
        ("./dir:x", "dir:x", None),
        ("x", "x", None),
        ("..", None, None),
        ("/", None, None),
        (r"C:\git\x.git", "x", None),
        ("C:/git/x.git", "x", None),
        (r"\\server\share\x.git", "x", None),
    ],
)
def test_origins_of_every_form(origin: str, repository: str | None, url: str | None) -> None:
    found = info({}, CHECKOUT._replace(origin=origin))
    assert (found.repository, found.url) == (repository, url or origin)
    assert repository_of(origin) == repository


@pytest.mark.parametrize("kind", EXPECTED)
def test_credentials_in_a_server_s_url_are_removed(kind: str) -> None:
    env, *_, url = EXPECTED[kind]
    variable = list(env)[3]
    host = env[variable].replace("my-org@", "")
    assert info(env | {variable: host.replace("://", "://ada:secret@")}).url == url
    assert info(env | {variable: host + "/"}).url == url


@given(
    st.sampled_from(["https", "http", "ssh", "git", "gcrypt::https"]),
    st.text("abc%.:@-_~!$&'()*+,;=é [", max_size=8),
    st.sampled_from(["/o/r.git", "", "/o/r?a#b", "/o:p/@r"]),
)
def test_no_password_survives_whatever_stands_before_it(scheme: str, user: str, path: str) -> None:
    kept = without_credentials(f"{scheme}://{user}:SECRET@host.example:80{path}")
    assert "SECRET" not in kept
    assert kept.endswith(f"host.example:80{path}")
    assert without_credentials(kept) == kept


ACTIONS = {
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_REPOSITORY": "o/r",
    "GITHUB_RUN_ID": "42",
    "GITHUB_ACTOR": "ada",
}
PIPELINE = {
    "GITLAB_USER_NAME": "Ada L.",
    "GITLAB_USER_EMAIL": "ada@x.org",
    "CI_JOB_URL": "https://gl.x.org/o/r/-/jobs/7",
}
STEP = {
    "BITBUCKET_STEP_TRIGGERER_UUID": "{aa-bb}",
    "BITBUCKET_GIT_HTTP_ORIGIN": "http://bitbucket.org/o/r",
    "BITBUCKET_BUILD_NUMBER": "9",
}
BUILD = {
    "BUILD_REQUESTEDFOR": "Ada Lovelace",
    "BUILD_REQUESTEDFOREMAIL": "ada@x.org",
    "SYSTEM_COLLECTIONURI": "https://dev.azure.com/org/",
    "SYSTEM_TEAMPROJECT": "My Project",
    "BUILD_BUILDID": "5",
}


@pytest.mark.parametrize(
    ("env", "actor", "url"),
    [
        (ACTIONS, "ada", "https://github.com/o/r/actions/runs/42"),
        (PIPELINE, "Ada L.", "https://gl.x.org/o/r/-/jobs/7"),
        (PIPELINE | {"GITLAB_USER_LOGIN": "ada"}, "ada", "https://gl.x.org/o/r/-/jobs/7"),
        (STEP, "{aa-bb}", "http://bitbucket.org/o/r/pipelines/results/9"),
        (BUILD, "Ada Lovelace", "https://dev.azure.com/org/My%20Project/_build/results?buildId=5"),
        ({"GITHUB_ACTOR": "ada"}, "ada", None),
        ({"CI_JOB_URL": "https://job:secret@gl.x.org/1"}, None, "https://gl.x.org/1"),
        (ACTIONS | {"GITHUB_ACTOR": "ada\nNumber: 9"}, "ada", "https://github.com/o/r/actions/runs/42"),
        ({"GITHUB_ACTOR": "exported at home"} | PIPELINE, "Ada L.", "https://gl.x.org/o/r/-/jobs/7"),
        ({}, None, None),
        ({"GITHUB_SERVER_URL": "https://github.com", "CI": "true"}, None, None),
    ],
)
def test_the_ci_run_is_recorded(env: dict[str, str], actor: str | None, url: str | None) -> None:
    assert run_of(env) == Run(actor, url)


@pytest.mark.parametrize(
    ("env", "identity"),
    [
        (ACTIONS, ("ada", "ada@users.noreply.github.com")),
        ({"GITHUB_ACTOR": "dependabot[bot]"}, ("dependabot[bot]", "dependabot[bot]@users.noreply.github.com")),
        (PIPELINE, ("Ada L", "ada@x.org")),
        ({"GITLAB_USER_NAME": "Ada"}, ("Ada", "")),
        (STEP, ("{aa-bb}", "")),
        (BUILD, ("Ada Lovelace", "ada@x.org")),
        ({"BUILD_REQUESTEDFOR": " <Ada>;\n", "BUILD_REQUESTEDFOREMAIL": "<ada@x.org>"}, ("Ada", "ada@x.org")),
        ({"BUILD_REQUESTEDFOR": "A\tda\x01"}, ("Ada", "")),
        ({"GITHUB_ACTOR": "exported at home"} | PIPELINE, ("Ada L", "ada@x.org")),
        ({"GITHUB_ACTOR": "<.>"}, None),
        ({"GITLAB_USER_EMAIL": "ada@x.org"}, None),
        ({}, None),
    ],
)
def test_the_ci_actor_is_an_identity(env: dict[str, str], identity: tuple[str, str] | None) -> None:
    assert ci_identity(env) == identity


def test_nothing_is_said_where_the_commit_is_head_and_clean() -> None:
    assert notes(info({}), CHECKOUT, present=True) == []
    assert notes(VersionInfo("prefect:simple"), None, present=False) == []


@pytest.mark.parametrize(
    ("env", "checkout", "present", "said"),
    [
        (GITHUB, CHECKOUT, True, ["commit 01234567 (vcs:github) is not what is checked out: HEAD is 89abcdef"]),
        (
            GITHUB,
            CHECKOUT,
            False,
            ["commit 01234567 (vcs:github) is not in this repository: fetch it before its code is needed here"],
        ),
        (
            {},
            CHECKOUT._replace(dirty=True),
            True,
            ["tracked files are changed here: commit 89abcdef does not have the changes"],
        ),
        ({}, Checkout(dirty=True), True, ["tracked files are changed here"]),
    ],
)
def test_what_the_deployer_hears(env: dict[str, str], checkout: Checkout, present: bool, said: list[str]) -> None:
    assert notes(info(env, checkout), checkout, present) == said


def test_a_commit_that_is_not_head_and_changes_are_both_said() -> None:
    assert len(notes(info(GITHUB), CHECKOUT._replace(dirty=True), present=True)) == 2
