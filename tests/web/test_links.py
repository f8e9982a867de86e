"""Where a platform shows the code of a version."""

from __future__ import annotations

import pytest

from git_deployments.model import VersionInfo
from git_deployments.web.links import Links, home, links
from tests.conftest import Project
from tests.web.conftest import PROD, Visit
from tests.web.test_pages import rows

SHA = "0123456789abcdef0123456789abcdef01234567"


def of_git(url: str | None, branch: str | None = "main", repository: str | None = None) -> VersionInfo:
    return VersionInfo("vcs:git", SHA[:8], SHA, "Start", branch, repository, url)


@pytest.mark.parametrize(
    ("kind", "url", "branch"),
    [
        ("vcs:github", f"https://github.com/acme/etl/tree/{SHA}", "https://github.com/acme/etl/tree/main"),
        ("vcs:gitlab", f"https://gitlab.com/a/b/etl/-/tree/{SHA}", "https://gitlab.com/a/b/etl/-/tree/main"),
        ("vcs:bitbucket", f"https://bitbucket.org/acme/etl/src/{SHA}", "https://bitbucket.org/acme/etl/branch/main"),
        (
            "vcs:azuredevops",
            f"https://dev.azure.com/acme/data/_git/etl?version=GC{SHA}",
            "https://dev.azure.com/acme/data/_git/etl?version=GBmain",
        ),
        ("vcs:github", f"http://git.acme.internal:8080/acme/etl/tree/{SHA}", "http://git.acme.internal:8080/acme/etl/tree/main"),
    ],
)  # fmt: skip
def test_what_ci_recorded_is_the_link(kind: str, url: str, branch: str) -> None:
    assert links(VersionInfo(kind, "1", SHA, None, "main", "acme/etl", url), None) == Links(url, branch)


@pytest.mark.parametrize(
    ("remote", "code", "branch"),
    [
        ("https://github.com/acme/etl.git", "https://github.com/acme/etl/tree/", "https://github.com/acme/etl/tree/"),
        ("git@github.com:acme/etl.git", "https://github.com/acme/etl/tree/", "https://github.com/acme/etl/tree/"),
        ("ssh://git@github.acme.com:2222/acme/etl", "https://github.acme.com/acme/etl/tree/", "https://github.acme.com/acme/etl/tree/"),
        ("ssh://git@ssh.github.com:443/acme/etl.git", "https://github.com/acme/etl/tree/", "https://github.com/acme/etl/tree/"),
        ("git@altssh.gitlab.com:a/b/etl.git", "https://gitlab.com/a/b/etl/-/tree/", "https://gitlab.com/a/b/etl/-/tree/"),
        ("ssh://git@altssh.bitbucket.org:443/a/etl.git", "https://bitbucket.org/a/etl/src/", "https://bitbucket.org/a/etl/branch/"),
        ("https://acme.ghe.com/a/etl", "https://acme.ghe.com/a/etl/tree/", "https://acme.ghe.com/a/etl/tree/"),
        ("git@gitlab.com:a/b/etl.git", "https://gitlab.com/a/b/etl/-/tree/", "https://gitlab.com/a/b/etl/-/tree/"),
        ("http://gitlab.local:8929/a/etl.git", "http://gitlab.local:8929/a/etl/-/tree/", "http://gitlab.local:8929/a/etl/-/tree/"),
        ("git@bitbucket.org:acme/etl.git", "https://bitbucket.org/acme/etl/src/", "https://bitbucket.org/acme/etl/branch/"),
        ("https://acme@dev.azure.com/acme/data/_git/etl", "https://dev.azure.com/acme/data/_git/etl?version=GC", "https://dev.azure.com/acme/data/_git/etl?version=GB"),
        ("git@ssh.dev.azure.com:v3/acme/data/etl", "https://dev.azure.com/acme/data/_git/etl?version=GC", "https://dev.azure.com/acme/data/_git/etl?version=GB"),
        ("acme@vs-ssh.visualstudio.com:v3/acme/data/etl", "https://acme.visualstudio.com/data/_git/etl?version=GC", "https://acme.visualstudio.com/data/_git/etl?version=GB"),
    ],
)  # fmt: skip
def test_the_address_of_a_remote_leads_to_its_pages(remote: str, code: str, branch: str) -> None:
    expected = Links(code + SHA, branch + "fix/a%20b%23c")
    assert links(of_git(remote, "fix/a b#c"), None) == expected
    assert links(of_git(None, "fix/a b#c"), remote) == expected


@pytest.mark.parametrize(
    "remote",
    [
        None, "", "/srv/git/etl.git", "file:///srv/github/etl.git", "../etl", "C:\\github\\etl",
        "https://git.example.com/etl",
        "https://github.com/", "javascript://github.com/%0aalert(1)", "git@github.com:\u202ea/etl",
        "ext::sh -c github.com",
    ],
)  # fmt: skip
def test_no_address_is_guessed(remote: str | None) -> None:
    assert links(of_git(remote), remote) == Links(None, None)


@pytest.mark.parametrize("secret", ["token", "user:token", "x-access-token:ghp_abc/def"])
def test_no_link_has_credentials(secret: str) -> None:
    for info, remote in (
        (of_git(f"https://{secret}@github.com/acme/etl.git"), None),
        (of_git(None), f"https://{secret}@github.com/acme/etl.git"),
        (
            VersionInfo("vcs:github", None, SHA, None, "main", "a/b", f"https://{secret}@github.com/a/b/tree/{SHA}"),
            None,
        ),
        (VersionInfo("vcs:github", None, SHA, None, "main", "a/b", f"https://{secret}@x.example/{SHA}?page"), None),
    ):
        found = links(info, remote)
        assert found.commit
        assert "ghp" not in str(found)
        assert "token" not in str(found)
        assert "@" not in str(found)


def test_a_remote_of_another_name_says_nothing_of_the_code() -> None:
    assert links(of_git(None, repository="acme/etl"), "git@github.com:acme/etl-fork.git") == Links(None, None)
    assert links(of_git(None, repository="etl"), "git@github.com:acme/etl.git").commit


def test_a_pull_request_is_no_branch() -> None:
    info = VersionInfo("vcs:github", None, SHA, None, "12/merge", "a/b", f"https://github.com/a/b/tree/{SHA}")
    assert links(info, None).branch == "https://github.com/a/b/pull/12"


def test_a_commit_of_the_code_has_a_page() -> None:
    found = home(of_git("git@gitlab.com:a/etl.git"), None)
    assert found
    assert found.commit(SHA) == f"https://gitlab.com/a/etl/-/commit/{SHA}"


def test_the_pages_link_commits_and_branches(versions: Project) -> None:
    versions.git("remote", "add", "origin", "https://ada:s3cret@github.com/acme/etl.git")
    visit = Visit(versions)
    head = versions.git("rev-parse", "refs/deployments/etl/prod/live:source")
    row = rows(visit)["etl/prod"]
    assert row["link"] == f"https://github.com/acme/etl/tree/{head}"
    assert row["branch_link"] == "https://github.com/acme/etl/tree/main"
    for path in (PROD, "/deployments/etl/prod/versions/3", "/deployments/etl/prod/versions/2..3"):
        page = visit.get(path)
        assert f'href="https://github.com/acme/etl/tree/{head}"' in page
        assert 'href="https://github.com/acme/etl/tree/main"' in page
        assert "s3cret" not in page
    for path in (f"{PROD}move", "/deployments/etl/prod/versions/2..3"):
        assert f'<a class="id" href="https://github.com/acme/etl/commit/{head}"' in visit.get(path)
