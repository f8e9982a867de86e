"""Where a version comes from, and who deploys it in CI (design, "Where a version comes from").

Pure: the environment and what git knows of the checkout are passed in. The variables of each
platform are those of Prefect's page "How to version deployments" and of the platforms' own
lists of predefined variables.
"""

import os
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from git_deployments.errors import DeploymentsError
from git_deployments.model import Run, VersionInfo
from git_deployments.names import shown

GIT = "vcs:git"
SIMPLE = "prefect:simple"


class SourceUnknown(DeploymentsError):
    """The version type asked for does not exist, or its facts are not all there."""


class Checkout(NamedTuple):
    """What git knows of the checkout."""

    head: str | None = None
    """Full id of HEAD's commit; None while there is none."""
    branch: str | None = None
    """Short name of HEAD's branch; None when detached or unborn."""
    origin: str | None = None
    """URL of the remote `origin`, as configured."""
    dirty: bool = False
    """Tracked files differ from HEAD."""


class Platform(NamedTuple):
    """A CI platform, by the names of its variables; a template holds such names in braces."""

    type: str
    commit: str
    branch: str
    repository: str
    code_url: str
    """Template of the URL of the code at a commit, whose id follows at the end."""
    run_url: str
    """Template of the URL of the run."""
    actors: tuple[str, ...]
    """Who started the run: the first that is set."""
    persons: tuple[str, ...]
    """The same for the author of a commit."""
    email: str
    """Template of that person's address; empty where the platform has none."""


PLATFORMS = (
    Platform(
        type="vcs:github",
        commit="GITHUB_SHA",
        branch="GITHUB_REF_NAME",
        repository="GITHUB_REPOSITORY",
        code_url="{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}/tree/",
        run_url="{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}/actions/runs/{GITHUB_RUN_ID}",
        actors=("GITHUB_ACTOR",),
        persons=("GITHUB_ACTOR",),
        email="{GITHUB_ACTOR}@users.noreply.github.com",
    ),
    Platform(
        type="vcs:gitlab",
        commit="CI_COMMIT_SHA",
        branch="CI_COMMIT_REF_NAME",
        repository="CI_PROJECT_NAME",
        code_url="{CI_PROJECT_URL}/-/tree/",
        run_url="{CI_JOB_URL}",
        actors=("GITLAB_USER_LOGIN", "GITLAB_USER_NAME"),
        persons=("GITLAB_USER_NAME", "GITLAB_USER_LOGIN"),
        email="{GITLAB_USER_EMAIL}",
    ),
    Platform(
        type="vcs:bitbucket",
        commit="BITBUCKET_COMMIT",
        branch="BITBUCKET_BRANCH",
        repository="BITBUCKET_REPO_SLUG",
        code_url="{BITBUCKET_GIT_HTTP_ORIGIN}/src/",
        run_url="{BITBUCKET_GIT_HTTP_ORIGIN}/pipelines/results/{BITBUCKET_BUILD_NUMBER}",
        actors=("BITBUCKET_STEP_TRIGGERER_UUID",),
        persons=("BITBUCKET_STEP_TRIGGERER_UUID",),
        email="",
    ),
    Platform(
        type="vcs:azuredevops",
        commit="BUILD_SOURCEVERSION",
        branch="BUILD_SOURCEBRANCHNAME",
        repository="BUILD_REPOSITORY_NAME",
        code_url="{BUILD_REPOSITORY_URI}?version=GC",
        run_url="{SYSTEM_COLLECTIONURI}/{SYSTEM_TEAMPROJECT}/_build/results?buildId={BUILD_BUILDID}",
        actors=("BUILD_REQUESTEDFOR",),
        persons=("BUILD_REQUESTEDFOR",),
        email="{BUILD_REQUESTEDFOREMAIL}",
    ),
)
TYPES = (*(platform.type for platform in PLATFORMS), GIT, SIMPLE)
"""Every version type, in the order in which they are tried."""


def collect(
    env: Mapping[str, str],
    checkout: Checkout | None,
    wanted: str | None,
    label: str | None,
    message_of: Callable[[str], str | None],
) -> VersionInfo:
    """The version_info of a version made now: the first type that is complete, or the one `wanted`.

    `label` is the explicit version; `message_of` gives the first line of a commit's message, None
    where the commit is not here. Raises `SourceUnknown` where `wanted` is unknown or incomplete.
    """
    info = _first_complete(env, checkout) if wanted is None else _one_type(wanted, env, checkout)
    commit = info.commit_sha
    return info._replace(
        version=label or (commit[:8] if commit else None),
        message=_message(commit, checkout, message_of) if commit else None,
    )


def notes(info: VersionInfo, checkout: Checkout | None, present: bool) -> list[str]:
    """What the deployer should hear about the source, one line each; `present`: its commit is here."""
    head = checkout.head if checkout else None
    lines = []
    if info.commit_sha:
        commit = f"commit {info.commit_sha[:8]} ({info.type})"
        if not present:
            lines.append(f"{commit} is not in this repository: fetch it before its code is needed here")
        elif head and head != info.commit_sha:
            lines.append(f"{commit} is not what is checked out: HEAD is {head[:8]}")
    if checkout and checkout.dirty:
        pinned = f": commit {info.commit_sha[:8]} does not have the changes" if info.commit_sha else ""
        lines.append(f"tracked files are changed here{pinned}")
    return lines


def run_of(env: Mapping[str, str]) -> Run:
    """The CI run that this is, for `Actor` and `Run-Url`; `Run()` outside CI."""
    for platform in _likeliest(env):
        run = Run(_first_value(platform.actors, env), _filled_url(platform.run_url, env))
        if run != Run():
            return run
    return Run()


def ci_identity(env: Mapping[str, str]) -> tuple[str, str] | None:
    """Name and e-mail (empty if unknown) of the CI platform's actor, fit for a commit; None outside CI."""
    for platform in _likeliest(env):
        name = _ident(_first_value(platform.persons, env))
        if name:
            return name, _ident(_filled(platform.email, env))
    return None


def without_credentials(url: str) -> str:
    """The URL without password, token or user; the user of an ssh address stays, being part of it."""
    prefix, authority, rest = address_parts(url)
    userinfo, at, host = authority.rpartition("@")
    user = userinfo.split(":", 1)[0] if not prefix or "ssh" in prefix.lower() else ""
    return f"{prefix}{user}{at if user else ''}{host}{rest}"


def repository_of(url: str) -> str | None:
    """`owner/repo` of a remote's URL, groups included; the last component of a local path."""
    prefix, authority, rest = address_parts(url)
    if prefix:
        rest = re.split(r"[?#]", rest)[0]
    path = rest.removeprefix(":").rstrip("/\\").removesuffix(".git").rstrip("/\\")
    if not authority or prefix.lower().endswith("file://"):
        path = re.split(r"[/\\]", path)[-1]
    return path.strip("/") if path.strip("/.") else None


def same_place(url: str, other: str) -> bool:
    """Whether two addresses of a repository, URLs or paths, lead to the same one as far as their text tells."""
    return _place(url) == _place(other)


def _place(url: str) -> tuple[str, str]:
    """Host and path; scheme, user, port and `.git` make no difference."""
    prefix, authority, path = address_parts(url)
    if not authority or prefix.lower().endswith("file://"):
        path = os.path.realpath(path).removesuffix("/.git")
        return "", path.removesuffix(".git")
    host = re.sub(r":\d*$", "", authority.rpartition("@")[2]).lower()
    return host, path.removeprefix(":").strip("/").removesuffix(".git").rstrip("/")


def _first_complete(env: Mapping[str, str], checkout: Checkout | None) -> VersionInfo:
    for platform in PLATFORMS:
        if not _faults(platform, env):
            return _from_ci(platform, env)
    return _from_git(checkout) or VersionInfo(SIMPLE)


def _one_type(wanted: str, env: Mapping[str, str], checkout: Checkout | None) -> VersionInfo:
    if wanted not in TYPES:
        raise SourceUnknown(f"unknown version type '{shown(wanted)}'; use one of {', '.join(TYPES)}")
    if wanted == SIMPLE:
        return VersionInfo(SIMPLE)
    if wanted == GIT:
        info = _from_git(checkout)
        faults = [] if info else ["HEAD has no commit"]
    else:
        platform = next(platform for platform in PLATFORMS if platform.type == wanted)
        faults = _faults(platform, env)
        info = None if faults else _from_ci(platform, env)
    if info is None:
        raise SourceUnknown(
            f"version type '{wanted}' is incomplete: {', '.join(faults)}; provide it or use another version type"
        )
    return info


def _faults(platform: Platform, env: Mapping[str, str]) -> list[str]:
    """What keeps a platform's facts from being complete, one phrase each; empty if they are."""
    needed = (platform.commit, platform.branch, platform.repository)
    faults = [f"{variable} is not set" for variable in needed if not _value(variable, env)]
    commit = _value(platform.commit, env)
    if commit and not _is_full_id(commit):
        faults.append(f"{platform.commit} is not a full commit id")
    return faults


def _is_full_id(text: str) -> bool:
    """A SHA-1 or SHA-256 id; all zeros is what platforms say where there is no commit."""
    return bool(re.fullmatch(r"[0-9A-Fa-f]{40}|[0-9A-Fa-f]{64}", text) and text.strip("0"))


def _from_ci(platform: Platform, env: Mapping[str, str]) -> VersionInfo:
    """The facts of a platform that has no faults."""
    commit = (_value(platform.commit, env) or "").lower()
    code = _filled_url(platform.code_url, env)
    return VersionInfo(
        platform.type,
        commit_sha=commit,
        branch=_value(platform.branch, env),
        repository=_value(platform.repository, env),
        url=code + commit if code else None,
    )


def _from_git(checkout: Checkout | None) -> VersionInfo | None:
    if checkout is None or checkout.head is None:
        return None
    origin = _line(checkout.origin)
    return VersionInfo(
        GIT,
        commit_sha=checkout.head,
        branch=_line(checkout.branch),
        repository=repository_of(origin) if origin else None,
        url=without_credentials(origin) if origin else None,
    )


def _message(commit: str, checkout: Checkout | None, message_of: Callable[[str], str | None]) -> str | None:
    """The first line of the commit's message, of HEAD's where the commit is not here."""
    text = message_of(commit)
    if text is None and checkout and checkout.head:
        text = message_of(checkout.head)
    return _line(text)


def _likeliest(env: Mapping[str, str]) -> list[Platform]:
    """The platforms, one whose run has a URL first: an actor is also exported outside its platform."""
    return sorted(PLATFORMS, key=lambda platform: _filled(platform.run_url, env) is None)


def _first_value(variables: tuple[str, ...], env: Mapping[str, str]) -> str | None:
    return next(filter(None, (_value(variable, env) for variable in variables)), None)


def _value(variable: str, env: Mapping[str, str]) -> str | None:
    return _line(env.get(variable))


def _filled(template: str, env: Mapping[str, str]) -> str | None:
    """The template with the values of its variables; None where one of them is unset."""
    variables = (part.partition("}")[0] for part in template.split("{")[1:])
    values = {variable: _value(variable, env) for variable in variables}
    if not all(values.values()):
        return None
    # Azure's collection ends in a slash, a server's URL that somebody set by hand may.
    return template.format_map({variable: (value or "").rstrip("/") for variable, value in values.items()})


def _filled_url(template: str, env: Mapping[str, str]) -> str | None:
    url = _filled(template, env)
    return without_credentials(url).replace(" ", "%20") if url else None


def _line(text: str | None) -> str | None:
    """The first line of what was said, in valid Unicode and without NUL; None where it is empty."""
    if not text:
        return None
    # Undecodable bytes of the environment are lone surrogates, which no commit can hold.
    valid = text.replace("\0", "").encode("utf-8", "replace").decode()
    return valid.strip().split("\n", 1)[0].strip() or None


def _ident(text: str | None) -> str:
    """The text without what git takes out of names and addresses, at their ends and anywhere."""
    inner = "".join(c for c in text or "" if c not in "<>" and c >= " ")
    return inner.strip(" .,:;\"'\\")


# Not compiled here: a rollback asks who runs it, and no more.
_SCP = r"(?s)((?:[^/\\\[\]]*@)?(?:\[[^/\]]*\]|[^/\\:\[\]]+))(:(?!:).*)"
"""`[user@]host:path`, the host perhaps in brackets (git-clone manual, "GIT URLS")."""
_DRIVE = r"[A-Za-z]:[/\\]"
_AUTHORITY = r"[^/?#]*@[^/?#]*|[^/?#@\[\]]*:(?!\d*(?:[/?#]|$))[^@]*@[^/?#]*|[^/?#]*"
"""What stands before a URL's path. The second form is no valid URL, its password holding a `/`, `?` or `#`
that should have been encoded: it must not stay behind all the same."""


def address_parts(url: str) -> tuple[str, str, str]:
    """A remote's URL as prefix (`https://`), authority (`user@host:port`) and rest; joined, they give it back.

    scp-style addresses have no prefix and a rest from their colon on; paths are all rest.
    """
    scheme, separator, address = url.partition("://")
    if separator:
        authority = (re.match(_AUTHORITY, address) or [""])[0]
        return scheme + separator, authority, address[len(authority) :]
    scp = None if re.match(_DRIVE, url) else re.fullmatch(_SCP, url)
    return ("", scp[1], scp[2]) if scp else ("", "", url)
