"""Where a platform shows the code of a version. Pure strings; no address has a user, a password or a token.

What was recorded counts first: in CI the address of the code at that commit is part of the version. Else the
address of the remote tells, where its host is one of a platform that is known here. No other address is guessed.
"""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import quote

from git_deployments.model import VersionInfo
from git_deployments.source import PLATFORMS, address_parts, repository_of, without_credentials

_LONGEST = 2000
_WEB = ("https://", "http://")
_SSH = ("", "ssh://", "git://", "git+ssh://", "ssh+git://")
"""Without a scheme it is `host:path` (git-clone manual, "GIT URLS")."""


class Form(NamedTuple):
    """What follows the address of a repository at a platform."""

    code: str
    """Before a commit: its code."""
    commit: str
    """Before a commit: what it changed."""
    branch: str
    """Before the name of a branch."""


_CODE = {platform.type: platform.code_url.rpartition("}")[2] for platform in PLATFORMS}
_FORMS = {
    "vcs:github": Form(_CODE["vcs:github"], "/commit/", "/tree/"),
    "vcs:gitlab": Form(_CODE["vcs:gitlab"], "/-/commit/", "/-/tree/"),
    "vcs:bitbucket": Form(_CODE["vcs:bitbucket"], "/commits/", "/branch/"),
    "vcs:azuredevops": Form(_CODE["vcs:azuredevops"], "/commit/", "?version=GB"),
}
_BEHIND_443 = {
    "ssh.github.com": "github.com",
    "altssh.gitlab.com": "gitlab.com",
    "altssh.bitbucket.org": "bitbucket.org",
}
"""Hosts that take ssh over the port of https and have no pages."""
_SHARE_A_DOMAIN = ("dev.azure.com", "visualstudio.com")


class Home(NamedTuple):
    """A repository at a platform."""

    address: str
    form: Form

    def code(self, oid: str) -> str:
        """The code at a commit."""
        return f"{self.address}{self.form.code}{oid}"

    def commit(self, oid: str) -> str:
        """What a commit changed."""
        return f"{self.address}{self.form.commit}{oid}"

    def branch(self, name: str) -> str:
        """A branch; of what GitHub tests before a merge, the pull request."""
        number = name.removesuffix("/merge")
        if self.form is _FORMS["vcs:github"] and number != name and number.isdigit():
            return f"{self.address}/pull/{number}"
        return f"{self.address}{self.form.branch}{quote(name, safe='/')}"


def web_link(url: str | None) -> str | None:
    """The address without credentials, where it is one of the web and of sensible length; anything else is no link."""
    fine = url and url.startswith(_WEB) and len(url) <= _LONGEST and url.isprintable()
    return without_credentials(url) if url and fine else None


def home(info: VersionInfo, remote: str | None) -> Home | None:
    """The repository that a version's code is in, as recorded, else as the remote's URL has it."""
    return recorded(info) or home_of(info.url) or (home_of(remote) if _is_of(info, remote) else None)


def recorded(info: VersionInfo) -> Home | None:
    """The repository of a URL that a CI platform made."""
    form, url = _FORMS.get(info.type), web_link(info.url)
    end = f"{form.code}{info.commit_sha}" if form and info.commit_sha else ""
    return Home(url.removesuffix(end), form) if url and form and end and url.endswith(end) else None


def home_of(url: str | None) -> Home | None:
    """The repository of a remote's URL, where its host is that of a platform. Its page may have another address."""
    if not url or len(url) > _LONGEST or not url.isprintable():
        return None
    prefix, authority, path = address_parts(without_credentials(url))
    host = authority.rpartition("@")[2].lower()
    is_web = prefix.lower() in _WEB
    if not host or not (is_web or prefix.lower() in _SSH):
        return None
    if not is_web:
        host = host.partition(":")[0]
        host = _BEHIND_443.get(host, host)
    path = path.partition("?")[0].partition("#")[0].lstrip(":").strip("/").removesuffix(".git")
    kind = _platform(host.partition(":")[0])
    if kind is None or not path:
        return None
    if kind == "vcs:azuredevops" and not is_web:
        host, path = _azure(host, path)
    scheme = prefix.lower() if is_web else "https://"
    return Home(f"{scheme}{host}/{quote(path, safe='/%~+@:')}", _FORMS[kind])


def _platform(host: str) -> str | None:
    labels = host.split(".")
    if "github" in labels or host.endswith(".ghe.com"):
        return "vcs:github"
    if "gitlab" in labels:
        return "vcs:gitlab"
    if host == "bitbucket.org":
        return "vcs:bitbucket"
    return "vcs:azuredevops" if host.endswith(_SHARE_A_DOMAIN) else None


def _azure(host: str, path: str) -> tuple[str, str]:
    """Host and path of the page: by ssh Azure has `v3/organisation/project/repository` on hosts of its own."""
    organisation, _, rest = path.removeprefix("v3/").partition("/")
    project, _, name = rest.partition("/")
    if host.endswith("visualstudio.com"):
        return f"{organisation}.visualstudio.com", f"{project}/_git/{name}"
    return "dev.azure.com", f"{organisation}/{project}/_git/{name}"


def _is_of(info: VersionInfo, remote: str | None) -> bool:
    """A version's code is in the remote's repository, as far as the names tell."""
    if not remote:
        return False
    if not info.repository:
        return True
    return info.repository.rpartition("/")[2] == (repository_of(remote) or "").rpartition("/")[2]


class Links(NamedTuple):
    """Where the source of a version is shown; None where that is not known."""

    commit: str | None
    branch: str | None


def links(info: VersionInfo, remote: str | None) -> Links:
    """The code of a version at its commit, and its branch."""
    found = home(info, remote)
    if found is None:
        is_recorded = info.type in _FORMS and info.commit_sha and info.commit_sha in (info.url or "")
        return Links(web_link(info.url) if is_recorded else None, None)
    return Links(
        web_link(found.code(info.commit_sha)) if info.commit_sha else None,
        web_link(found.branch(info.branch)) if info.branch else None,
    )
