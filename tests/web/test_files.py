"""The pages as files: every link leads to a file that is there, and nobody else's files are touched."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

import git_deployments
from tests.conftest import Project


def export(project: Project, to: Path) -> Path:
    project.ok("web", "--export", str(to))
    return to


def links_that_lead_to_files(pages: Path) -> int:
    """How many links there are; each of them leads to a file that is there."""
    seen = 0
    for page in pages.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert 'method="post"' not in text
        assert "<form" not in text
        for link in re.findall(r'(?:href|src)="([^"]+)"', text):
            path, _, anchor = link.partition("#")
            if path.startswith("http"):
                continue
            assert not path.startswith("/"), "it works under any address"
            target = (page.parent / unquote(path)).resolve() if path else page.resolve()
            assert target.is_file(), (page, link)
            if anchor and anchor != "main":
                assert f'id="{anchor}"' in target.read_text(encoding="utf-8"), (page, link)
            seen += 1
    return seen


def test_what_is_unpublished_comes_with_the_command_that_publishes_it(versions: Project, tmp_path: Path) -> None:
    versions.git("remote", "add", "origin", str(tmp_path / "hub.git"))
    page = (export(versions, tmp_path / "pages") / "deployments/etl/prod/log/index.html").read_text(encoding="utf-8")
    assert "<code>git deployments push origin etl/prod</code>" in page


def test_every_link_leads_to_a_file_that_is_there(versions: Project, tmp_path: Path) -> None:
    versions.ok("rollback", "prod", "v1", "-m", "wrong totals")
    versions.deploy("with 100% # and ?", name="odd ü?#~ name")
    assert links_that_lead_to_files(export(versions, tmp_path / "pages")) > 100


def test_no_link_leads_to_a_version_that_is_too_old_to_be_exported(versions: Project, tmp_path: Path) -> None:
    opened = git_deployments.open(str(versions.path))
    for number in range(4, 132):
        opened.update("prod", {"description": f"d{number}"})
    versions.ok("rollback", "prod", "2")
    pages = export(versions, tmp_path / "pages")
    found = {path.name for path in (pages / "deployments/etl/prod/versions").glob("*.html")}
    assert {"2.html", "32.html", "131.html"} <= found
    assert not {"1.html", "3.html", "31.html"} & found
    assert links_that_lead_to_files(pages) > 1000


def test_each_version_is_compared_with_what_is_live(versions: Project, tmp_path: Path) -> None:
    versions.ok("rollback", "prod", "v1")
    pages = export(versions, tmp_path / "pages") / "deployments/etl/prod/versions"
    for number in (2, 3):
        assert (
            f'href="../../../../deployments/etl/prod/versions/{number}..1.html"'
            in (pages / f"{number}.html").read_text()
        )
        assert "description" in (pages / f"{number}..1.html").read_text()


def test_an_export_over_an_earlier_one_leaves_nothing_behind(versions: Project, tmp_path: Path) -> None:
    versions.deploy("other", name="other")
    pages = export(versions, tmp_path / "pages")
    (pages / "CNAME").write_text("pages.example.com")
    assert (pages / "deployments/etl/other").exists()
    versions.ok("delete", "other", "-y", "--purge")
    export(versions, pages)
    assert not (pages / "deployments/etl/other").exists()
    assert (pages / "CNAME").read_text() == "pages.example.com", "what is not ours stays"
    assert not list(pages.rglob("*.new"))


def test_pages_of_somebody_else_are_not_overwritten(versions: Project, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<h1>Mine</h1>")
    line = versions.fatal("web", "--export", str(tmp_path))
    assert "is no page of git deployments" in line
    assert [path.name for path in tmp_path.iterdir() if path.name != "repository"] == ["index.html"]


@pytest.mark.parametrize("file", ["deployments/etl/values.yaml", "assets/logo.svg", "assets/style.css", "deployments"])
def test_files_of_somebody_else_are_not_removed_by_a_first_export(versions: Project, tmp_path: Path, file: str) -> None:
    mine = tmp_path / "site" / file
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    assert "is no page of git deployments" in versions.fatal("web", "--export", str(tmp_path / "site"))
    assert [path for path in (tmp_path / "site").rglob("*") if path.is_file()] == [mine]
    assert mine.read_text() == "mine"


def test_files_of_somebody_else_beside_the_pages_stay(versions: Project, tmp_path: Path) -> None:
    pages = export(versions, tmp_path / "pages")
    for file in ("deployments/etl/values.yaml", "deployments/etl/prod/mine.html", "assets/logo.svg"):
        (pages / file).write_text("mine")
    (pages / "deployments/etl/prod/versions/9.json").write_text("{}")
    export(versions, pages)
    for file in ("deployments/etl/values.yaml", "deployments/etl/prod/mine.html", "assets/logo.svg"):
        assert (pages / file).read_text() == "mine"
    assert not (pages / "deployments/etl/prod/versions/9.json").exists()


@pytest.mark.parametrize("part", ["log:settings.json", "versions/2:"])
def test_a_damaged_deployment_is_told_and_the_others_are_exported(versions: Project, tmp_path: Path, part: str) -> None:
    versions.deploy("other", name="other", paused=True)
    pages = export(versions, tmp_path / "pages")
    versions.ok("update", "prod", "disabled=true")
    oid = versions.git("rev-parse", f"refs/deployments/etl/prod/{part}")
    (versions.path / ".git/objects" / oid[:2] / oid[2:]).unlink()
    warned = versions.ok("web", "--export", str(pages)).err
    assert "etl/prod: " in warned
    assert "etl/other" not in warned
    assert '"etl/prod"' in (pages / "index.html").read_text()
    assert "This cannot be shown" in (pages / "deployments/etl/prod/log/index.html").read_text()
    assert not (pages / "deployments/etl/prod/versions").exists(), "what the page does not link to is gone"
    assert (pages / "deployments/etl/other/versions/1.html").exists()
    assert links_that_lead_to_files(pages)


def test_a_list_with_a_damaged_log_leads_to_a_page_that_says_so(versions: Project, tmp_path: Path) -> None:
    versions.git("update-ref", "refs/deployments/etl/prod/log", "HEAD")
    pages = export(versions, tmp_path / "pages")
    assert '"etl/prod"' in (pages / "index.html").read_text()
    assert "This cannot be shown" in (pages / "deployments/etl/prod/log/index.html").read_text()


@pytest.mark.parametrize(("length", "cut"), [(399, False), (400, True), (5000, True)])
def test_a_cut_line_is_said_to_be_cut(versions: Project, tmp_path: Path, length: int, cut: bool) -> None:
    versions.commit("Long", code="x" * length + "\n")
    versions.deploy("d4")
    pages = export(versions, tmp_path / "pages")
    place = pages / "deployments/etl/prod/versions"
    assert ("Cut." in (place / "3..4.html").read_text()) == cut
    assert (place / "3..4.diff").exists() == cut
    assert not cut or "x" * length in (place / "3..4.diff").read_text()
    assert links_that_lead_to_files(pages)


def test_a_line_that_grows_by_its_escapes_is_not_cut(versions: Project, tmp_path: Path) -> None:
    versions.commit("Odd", code="\x07" * 300 + "\n")
    versions.deploy("d4")
    place = export(versions, tmp_path / "pages") / "deployments/etl/prod/versions"
    assert "Cut." not in (place / "3..4.html").read_text()


def test_no_page_has_credentials(versions: Project, tmp_path: Path) -> None:
    versions.git("remote", "add", "origin", "https://ada:s3cret@github.com/acme/etl.git")
    pages = export(versions, tmp_path / "pages")
    found = [page.read_bytes() for page in pages.rglob("*") if page.is_file()]
    assert any(b"https://github.com/acme/etl/tree/" in page for page in found)
    assert not any(b"s3cret" in page for page in found)
