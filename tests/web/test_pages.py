"""What the pages say and do, over real repositories."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.conftest import Project
from tests.web.conftest import PROD, Visit, plain


def rows(visit: Visit) -> dict[str, dict[str, Any]]:
    """The rows of the list, by name, as the script of the page reads them."""
    found = re.search(r'<script type="application/json" id="rows">(.*?)</script>', visit.get("/"), re.DOTALL)
    assert found
    table = json.loads(found[1])
    columns = (
        "name", "path", "live", "latest", "label", "source", "branch", "link", "marks", "action", "number", "from",
        "to", "reason", "who", "when",
    )  # fmt: skip
    result = {}
    for values in table["rows"]:
        row = dict(zip(columns, values, strict=False))
        row["marks"] = [mark for place, mark in enumerate(table["marks"]) if row["marks"] & 1 << place]
        row["branch"], row["branch_link"] = table["branches"][row["branch"]] if row["branch"] >= 0 else (None, "")
        row["link"] = table["links"][row["link"]].replace("*", row["source"] or "") if row["link"] >= 0 else None
        if "who" in row:
            row["who"] = table["people"][row["who"]]
        result[row["name"]] = row
    return result


def columns_of_script() -> list[str]:
    from tests.test_architecture import PACKAGE

    script = (PACKAGE / "web" / "assets" / "list.js").read_text(encoding="utf-8")
    found = re.search(r"const columns = (\[.*?\]);", script)
    assert found
    names: list[str] = json.loads(found[1])
    return names


GITHUB = {
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_REPOSITORY": "acme/etl",
    "GITHUB_REF_NAME": "main",
}


# All deployments


def test_the_list_says_what_is_live_and_what_changed_last(versions: Project) -> None:
    versions.ok("rollback", "prod", "-m", "wrong totals")
    row = rows(Visit(versions))["etl/prod"]
    assert (row["live"], row["latest"], row["label"]) == (2, 3, "0.0.2")
    assert (row["action"], row["from"], row["to"], row["reason"]) == ("rollback", 3, 2, "wrong totals")
    assert (row["who"], row["branch"], row["marks"]) == ("Ada", "main", ["rolled back"])
    assert row["source"] == versions.git("rev-parse", "refs/deployments/etl/prod/live:source")


def test_the_script_reads_the_rows_as_they_are_written(versions: Project) -> None:
    row = rows(Visit(versions))["etl/prod"]
    del row["branch_link"]  # shares its place with the branch
    assert list(row) == columns_of_script()


def test_the_list_links_a_commit_to_the_platform(project: Project) -> None:
    head = project.git("rev-parse", "HEAD")
    project.manifest()
    project.ok("deploy", GITHUB_SHA=head, **GITHUB)
    assert rows(Visit(project))["etl/prod"]["link"] == f"https://github.com/acme/etl/tree/{head}"


def test_the_list_marks_what_needs_attention(versions: Project, tmp_path: Any) -> None:
    def marks() -> list[str]:
        found: list[str] = rows(Visit(versions))["etl/prod"]["marks"]
        return found

    assert marks() == []
    versions.ok("update", "prod", "paused=true", "disabled=true")
    assert marks() == ["paused", "disabled"]
    versions.ok("rollback", "prod", "--hold")
    assert marks() == ["rolled back", "held", "paused", "disabled"]
    versions.git("init", "-q", "--bare", str(tmp_path / "hub.git"))
    versions.git("remote", "add", "origin", str(tmp_path / "hub.git"))
    assert "unpublished" in marks()
    versions.ok("push", "origin")
    assert "unpublished" not in marks()
    versions.ok("promote", "prod")
    assert marks() == ["paused", "disabled", "unpublished"]
    versions.git("update-ref", "refs/deployments/etl/prod/live", "refs/deployments/etl/prod/versions/1")
    assert "unrecorded" in marks()


def test_the_list_marks_what_is_behind(versions: Project, tmp_path: Any) -> None:
    hub = str(tmp_path / "hub.git")
    versions.git("init", "-q", "--bare", hub)
    versions.git("remote", "add", "origin", hub)
    versions.ok("push", "origin")
    before = versions.refs()
    versions.ok("rollback", "prod", "--push")
    for ref, oid in before.items():
        versions.git("update-ref", ref, oid)
    row = rows(Visit(versions))["etl/prod"]
    assert row["marks"] == ["behind"]
    page = plain(Visit(versions).get(PROD))
    assert "origin has 1 event that is not here. git deployments pull origin etl/prod" in page


def test_a_live_without_its_log_names_the_pull_that_brings_it(versions: Project, tmp_path: Any) -> None:
    hub = str(tmp_path / "hub.git")
    versions.git("init", "-q", "--bare", hub)
    versions.git("remote", "add", "origin", hub)
    versions.ok("push", "origin")
    log = "refs/deployments/etl/prod/log"
    before = versions.git("rev-parse", log)
    versions.ok("rollback", "prod", "--push")
    versions.git("update-ref", log, before)
    words = "live was taken from origin without its log. git deployments "
    page = plain(Visit(versions).get(PROD))
    assert f"{words}pull origin etl/prod" in page
    versions.ok("pull", "origin", "etl/prod")
    assert words not in plain(Visit(versions).get(PROD))


def test_an_empty_list_says_what_to_do(project: Project) -> None:
    assert "git deployments deploy" in plain(Visit(project).get("/"))


def test_a_damaged_deployment_is_listed_and_its_page_says_why(versions: Project) -> None:
    versions.git("update-ref", "refs/deployments/etl/prod/live", "HEAD")
    visit = Visit(versions)
    assert "damaged" in rows(visit)["etl/prod"]["marks"]
    assert "fsck" in plain(visit.get(PROD, status=500))


def test_settings_that_cannot_be_read_are_marked_and_the_others_are_listed(versions: Project) -> None:
    versions.deploy("other", name="other", paused=True)
    oid = versions.git("rev-parse", "refs/deployments/etl/prod/log:settings.json")
    (versions.path / ".git/objects" / oid[:2] / oid[2:]).unlink()
    found = rows(Visit(versions))
    assert found["etl/prod"]["marks"] == ["damaged"]
    assert found["etl/other"]["marks"] == ["paused"]


def test_a_deleted_deployment_is_not_listed_but_its_history_is_there(versions: Project) -> None:
    versions.ok("delete", "prod", "-y", "-m", "moved")
    visit = Visit(versions)
    assert "etl/prod" not in visit.get("/")
    page = plain(visit.get(PROD))
    assert "Deleted" in page
    assert "moved" in page
    assert "log/move" not in visit.get(PROD)


# One deployment


def test_a_deployment_shows_each_move_with_who_when_and_why(versions: Project) -> None:
    versions.ok("rollback", "prod", "-m", "wrong totals")
    versions.ok("promote", "prod", "-m", "they were right")
    page = plain(Visit(versions).get(PROD))
    assert "live v3 0.0.3" in page
    assert "Promoted from v2 to v3 by Ada" in page
    history = page[page.index("History") :]
    for words in ("Promoted from v2 to v3", "they were right", "Rolled back from v3 to v2", "wrong totals"):
        assert words in history
    assert history.index("they were right") < history.index("wrong totals") < history.index("v1 0.0.1")
    assert "2026-01-02 03:04 +0100" in history


def test_a_deployment_shows_what_the_last_move_changed(versions: Project) -> None:
    versions.ok("rollback", "prod", "v1")
    page = plain(Visit(versions).get(PROD))
    change = page[page.index("What the last move changed") : page.index("History")]
    assert "description v3: d3 v1: d1" in change
    assert "2 commits of the code go away" in change


def test_a_deployment_shows_settings_apart_from_properties(versions: Project) -> None:
    versions.ok("update", "prod", "paused=true")
    page = plain(Visit(versions).get(PROD))
    settings = page[page.index("Settings The same for every version") : page.index("Properties of v3")]
    assert "paused true" in settings
    assert "description d3" not in settings
    assert "description d3" in page[page.index("Properties of v3") :]


def test_an_unrecorded_move_is_told(versions: Project) -> None:
    versions.git("update-ref", "refs/deployments/etl/prod/live", "refs/deployments/etl/prod/versions/1")
    page = plain(Visit(versions).get(PROD))
    assert "live was moved without the log: v1 is live, the log says v3" in page
    assert "live v1 0.0.1" in page


def test_older_events_are_a_click_away(versions: Project) -> None:
    visit = Visit(versions)
    page = visit.get(f"{PROD}?events=2")
    assert "v1 0.0.1" not in plain(page)[plain(page).index("History") :]
    assert "Older events" in page
    assert "Older events" not in visit.get(f"{PROD}?events=8")


def test_a_remote_that_lacks_something_can_be_given_it(versions: Project, tmp_path: Any) -> None:
    versions.git("init", "-q", "--bare", str(tmp_path / "hub.git"))
    versions.git("remote", "add", "origin", str(tmp_path / "hub.git"))
    visit = Visit(versions)
    assert "3 events here that origin lacks" in plain(visit.get(PROD))
    answer = visit.post(f"{PROD}publish")
    assert answer.status_code == 303
    assert "Published at origin" in visit.get(PROD + "?published")
    assert "lacks" not in visit.get(PROD)
    assert "etl/prod/live" in versions.git("ls-remote", "origin")


def test_each_remote_is_shown_as_it_was_last_seen(versions: Project, tmp_path: Any) -> None:
    for remote in ("backup", "origin"):
        versions.git("init", "-q", "--bare", str(tmp_path / f"{remote}.git"))
        versions.git("remote", "add", remote, str(tmp_path / f"{remote}.git"))
    versions.ok("push", "origin")
    versions.ok("rollback", "prod")
    page = plain(Visit(versions).get(PROD))
    elsewhere = page[page.index("Elsewhere") : page.index("Settings")]
    assert "backup never seen there" in elsewhere
    assert "origin 1 event unpublished v3 is live there" in elsewhere
    versions.ok("push", "origin")
    assert "origin in step v2 is live there" in plain(Visit(versions).get(PROD))


def test_a_remote_can_be_asked_again(versions: Project, tmp_path: Any) -> None:
    hub = str(tmp_path / "hub.git")
    versions.git("init", "-q", "--bare", hub)
    versions.git("remote", "add", "origin", hub)
    versions.ok("push", "origin")
    other = Project(tmp_path / "other")
    versions.git("clone", "-q", hub, str(other.path))
    other.ok("pull", "origin")
    other.ok("rollback", "prod", "-m", "wrong", "--push")
    before = versions.refs()
    visit = Visit(versions)
    assert "origin in step" in plain(visit.get(PROD))
    answer = visit.post(f"{PROD}fetch", remote="origin")
    assert (answer.status_code, answer.headers["Location"]) == (303, "../../../../deployments/etl/prod/log/#remotes")
    assert "origin 1 event behind v2 is live there" in plain(visit.get(PROD))
    assert versions.refs() == before
    answer = visit.post(f"{PROD}fetch", remote="nowhere")
    assert "no remote &#39;nowhere&#39; is configured" in answer.text
    assert "This was not done" in answer.text


# A Prefect server


def test_a_prefect_server_is_only_asked_where_there_is_one(versions: Project, monkeypatch: Any) -> None:
    visit = Visit(versions)
    assert "data-server" not in visit.get("/") + visit.get(PROD)
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    assert 'data-server="./server"' in visit.get("/")
    assert 'data-server="../../../../deployments/etl/prod/log/server"' in visit.get(PROD)


def test_a_prefect_server_that_cannot_be_asked_is_no_error_of_the_page(versions: Project, monkeypatch: Any) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    visit = Visit(versions)
    for path in ("/server", f"{PROD}server"):
        assert "refect" in visit.get(path, status=502)
        assert "Traceback" not in visit.get(path, status=502)
    visit.get("/deployments/etl/nothing/log/server", status=404)


# One version and two


def test_a_version_shows_its_properties_and_when_it_was_live(versions: Project) -> None:
    versions.ok("rollback", "prod", "v2", "-m", "wrong")
    page = plain(Visit(versions).get("/deployments/etl/prod/versions/2"))
    assert "v2 0.0.2 live" in page
    assert "description d2" in page
    assert "Change 2" in page
    assert "Rolled back from v3 to v2" in page
    assert versions.refs()["refs/deployments/etl/prod/versions/2"] in page


def test_two_versions_side_by_side_changed_ones_first_and_by_word(project: Project) -> None:
    project.deploy("Loads the orders of the night", tags=["a"])
    project.deploy("Loads the totals of the night", tags=["a"])
    page = Visit(project).get("/deployments/etl/prod/versions/1..2")
    assert "Loads the <del>orders</del> of the night" in page
    assert "Loads the <ins>totals</ins> of the night" in page
    assert page.index("<bdi>description</bdi>") < page.index("Unchanged: tags")


def test_the_code_between_two_versions_by_commit_and_by_file(versions: Project) -> None:
    page = Visit(versions).get("/deployments/etl/prod/versions/1..3")
    words = plain(page)
    assert "2 commits come; 2 files" in words.replace(" ;", ";")
    assert "Change 3 Ada" in words
    code = page[page.index("Files</h3>") :]
    assert re.findall(r'<span class="path"><bdi>([^<]*)', code) == ["code", "prefect.yaml"]
    assert '<span class="del"><span class="sign">-</span>1' in code
    assert '<span class="add"><span class="sign">+</span>3' in code
    diff = Visit(versions).get("/deployments/etl/prod/versions/1..3.diff")
    first, last = (versions.git("rev-parse", f"refs/deployments/etl/prod/versions/{n}:source") for n in (1, 3))
    assert diff.rstrip("\n") == versions.git("diff-tree", "-r", "-M", "-p", first, last)


def test_the_users_git_configuration_does_not_change_the_diff(versions: Project) -> None:
    before = Visit(versions).get("/deployments/etl/prod/versions/1..3")
    for key, value in (
        ("diff.noprefix", "true"), ("color.ui", "always"), ("diff.external", "false"), ("core.quotePath", "true"),
        ("log.showSignature", "true"), ("diff.renames", "false"), ("diff.orderFile", "/nowhere"),
    ):  # fmt: skip
        versions.git("config", key, value)
    cut = re.compile(r'data-digest="\w+"')
    after = Visit(versions).get("/deployments/etl/prod/versions/1..3")
    assert cut.sub("", after) == cut.sub("", before)


def test_odd_files_in_a_diff(versions: Project) -> None:
    (versions.path / "binary").write_bytes(b"\0\1\2" * 100)
    versions.git("mv", "README", "mit Umlaut ü\tund\nmehr")
    versions.write("deep/diff --git a/x b/x", "diff --git a/x b/x\n@@ not a hunk\n<script>alert(1)</script>\n")
    versions.commit("Odd")
    versions.deploy("d4")
    page = Visit(versions).get("/deployments/etl/prod/versions/3..4")
    words = plain(page)
    assert "binary" in words
    assert "was README" in words
    assert "mit Umlaut ü\\x09und\\x0amehr" in words
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script>alert" not in page


def test_a_file_that_becomes_a_link_keeps_its_lines_and_the_next_file_its_own(versions: Project) -> None:
    versions.commit("Files", a="one\n", b="two\n")
    versions.deploy("d4")
    (versions.path / "a").unlink()
    (versions.path / "a").symlink_to("b")
    versions.commit("Link", b="two\nthree\n")
    versions.deploy("d5")
    page = Visit(versions).get("/deployments/etl/prod/versions/4..5")
    diffs = [plain(one) for one in re.findall(r'(?s)<span class="path">.*?</details>', page)]
    assert diffs[0].strip().startswith("a +1 −1 @@")
    assert "- one" in diffs[0]
    assert "+ b" in diffs[0]
    assert "index" not in diffs[0]
    assert diffs[1].strip().startswith("b +1 −0 @@")
    assert "+ three" in diffs[1]


def test_a_code_commit_that_is_not_here_is_told(project: Project) -> None:
    project.deploy("one")
    project.manifest("two")
    project.ok("deploy", GITHUB_SHA="a" * 40, **GITHUB)
    assert "Commit aaaaaaaaaaaa is not in this repository" in plain(
        Visit(project).get("/deployments/etl/prod/versions/1..2")
    )


def test_any_two_versions_can_be_chosen(visit: Visit) -> None:
    answer = visit.client.get("/deployments/etl/prod/versions/?a=live&b=0.0.1", base_url=visit.base)
    assert (answer.status_code, answer.headers["Location"]) == (303, "3..1")
    assert "no version &#39;v9&#39;" in visit.get("/deployments/etl/prod/versions/?a=v9&b=1", status=404)


def test_what_is_not_there_is_a_page_that_says_so(visit: Visit) -> None:
    for path in ("/deployments/etl/nothing/log/", "/deployments/etl/prod/versions/9", "/deployments/etl/prod", "/x"):
        assert "<h1" in visit.get(path, status=404), path
    assert "<h1" in visit.get("/deployments/%25zz/log/", status=404)
    assert "<h1" in visit.get("/deployments/etl/prod/log/" + "0" * 40 + ".txt", status=404)


# Moves


def test_a_preview_shows_what_changes_and_what_does_not(versions: Project) -> None:
    versions.ok("update", "prod", "concurrency_limit=3")
    page = plain(Visit(versions).get(f"{PROD}move"))
    assert "Roll back to v2 0.0.2" in page
    change = page[page.index("Will change") : page.index("Will not change")]
    assert "description v3: d3 v2: d2" in change
    assert "Commits that go away" in change
    stays = page[page.index("Will not change") :]
    assert "concurrency_limit 3" in stays
    assert "Set otherwise since v2 was live, and not restored" in stays
    assert "git deployments rollback etl/prod v2 --expect-live v3" in page


def test_a_rollback_with_a_reason_is_made_and_told_with_its_undo(versions: Project) -> None:
    visit = Visit(versions)
    answer = visit.post(f"{PROD}move", **visit.form(f"{PROD}move"), reason="wrong totals")
    assert answer.status_code == 303
    assert versions.live() == 2
    event = versions.refs()["refs/deployments/etl/prod/log"]
    assert versions.git("log", "-1", "--format=%b", event).startswith("wrong totals")
    done = visit.client.get(f"{PROD}{answer.headers['Location'].rpartition('/')[2]}", base_url=visit.base).text
    assert "Rolled back from v3 to v2." in plain(done)
    assert "git deployments promote etl/prod v3" in plain(done)
    assert versions.run("fsck").code == 0


def test_a_promotion_is_made(versions: Project) -> None:
    versions.ok("rollback", "prod")
    visit = Visit(versions)
    page = plain(visit.get(f"{PROD}move?to=number:3"))
    assert "Promote v3" in page
    visit.post(f"{PROD}move", **visit.form(f"{PROD}move?to=number:3"))
    assert versions.live() == 3


def test_the_undo_of_a_promotion_that_ended_a_hold_holds_again(versions: Project) -> None:
    versions.ok("rollback", "prod", "--hold")
    visit = Visit(versions)
    answer = visit.post(f"{PROD}move", **visit.form(f"{PROD}move?to=number:3"))
    done = plain(visit.get(f"{PROD}?{answer.headers['Location'].partition('?')[2]}"))
    assert "To take it back: git deployments rollback etl/prod v2 --hold" in done


def test_the_undo_of_a_rollback_under_a_hold_holds_again(versions: Project) -> None:
    versions.ok("rollback", "prod", "--hold")
    visit = Visit(versions)
    answer = visit.post(f"{PROD}move", **visit.form(f"{PROD}move?to=number:1"))
    done = plain(visit.get(f"{PROD}?{answer.headers['Location'].partition('?')[2]}"))
    promote, rollback = "git deployments promote etl/prod v2", "git deployments rollback etl/prod v2 --hold"
    assert f"To take it back: {promote} && {rollback}" in done


def test_a_hold_can_be_asked_for(versions: Project) -> None:
    visit = Visit(versions)
    visit.post(f"{PROD}move", **visit.form(f"{PROD}move"), hold="on")
    assert "held" in rows(visit)["etl/prod"]["marks"]


def test_a_lost_race_is_shown_and_nothing_is_overwritten(versions: Project) -> None:
    visit = Visit(versions)
    form = visit.form(f"{PROD}move?to=number:2")
    versions.ok("rollback", "prod", "v1", "-m", "I was quicker", GIT_AUTHOR_NAME="Grace")
    before = versions.refs()
    answer = visit.post(f"{PROD}move", **form, reason="mine")
    assert answer.status_code == 409
    page = plain(answer.text)
    assert "Somebody was first" in page
    assert "Rolled back from v3 to v1 by Grace" in page
    assert "I was quicker" in page
    assert "mine" in answer.text, "the reason would have to be typed again"
    assert versions.refs() == before
    # What is offered now is right for how things are now.
    fresh = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', answer.text))
    assert visit.post(f"{PROD}move", **fresh, reason="mine").status_code == 303
    assert versions.live() == 2


def test_a_reason_is_required_where_it_is_configured(versions: Project) -> None:
    versions.git("config", "deployments.requireReason", "true")
    visit = Visit(versions)
    assert " required>" in visit.get(f"{PROD}move")
    answer = visit.post(f"{PROD}move", **visit.form(f"{PROD}move"), reason="  ")
    assert answer.status_code == 422
    assert "A reason is required" in answer.text
    assert versions.live() == 3


def test_a_reason_keeps_no_secret(versions: Project) -> None:
    visit = Visit(versions)
    answer = visit.post(f"{PROD}move", **visit.form(f"{PROD}move"), reason="token ghp_" + "a1B2" * 9)
    assert answer.status_code == 422
    assert "for ever" in answer.text
    assert versions.live() == 3


@pytest.mark.parametrize("form", [{}, {"to": "number:1"}, {"expect": "number:3"}, {"to": "number:9", "expect": "v3"}])
def test_a_form_that_no_page_sends_moves_nothing(visit: Visit, form: dict[str, str]) -> None:
    before = visit.project.refs()
    assert visit.post(f"{PROD}move", **form).status_code in (404, 422)
    assert visit.project.refs() == before


def test_a_move_that_is_published_or_not_made(versions: Project, tmp_path: Any) -> None:
    hub = str(tmp_path / "hub.git")
    versions.git("init", "-q", "--bare", hub)
    versions.git("remote", "add", "origin", hub)
    visit = Visit(versions)
    form = visit.form(f"{PROD}move")
    assert visit.post(f"{PROD}move", **form, push="on").status_code == 303
    assert versions.refs()["refs/deployments/etl/prod/live"] in versions.git("ls-remote", "origin")
    versions.git("remote", "set-url", "origin", str(tmp_path / "nowhere"))
    before = versions.refs()
    answer = visit.post(f"{PROD}move", **visit.form(f"{PROD}move"), push="on", reason="again")
    assert answer.status_code == 500
    assert "nowhere" in answer.text
    assert versions.refs() == before


def test_what_follows_a_move_follows_here_too(versions: Project, tmp_path: Any) -> None:
    """As after the command; a move that cannot be applied to a Prefect server stands, and the page says so."""
    versions.git("config", "deployments.onLiveLocal", "true")
    moves = tmp_path / "moves"
    versions.git("config", "deployments.onLive", f'echo "$GIT_DEPLOYMENTS_TO" >>{moves}')
    visit = Visit(versions)
    assert visit.post(f"{PROD}move", **visit.form(f"{PROD}move")).status_code == 303
    assert moves.read_text() == "2\n"
    versions.git("config", "deployments.applyOnLive", "true")
    answer = visit.post(f"{PROD}move", **visit.form(f"{PROD}move?to=number:3"))
    assert answer.status_code == 303
    assert (versions.live(), moves.read_text()) == (3, "2\n3\n")
    page = plain(visit.get(f"{PROD}?{answer.headers['Location'].partition('?')[2]}"))
    assert "Promoted from v2 to v3. " in page
    assert "the move stands Not all that was to follow it was done: live has moved here, but not on the Prefect" in page
    assert "git deployments rollback etl/prod v2" in page, "the undo is gone"
    assert "the move stands" not in plain(visit.get(PROD))


def test_commands_that_fail_after_a_move_are_told(versions: Project) -> None:
    versions.git("config", "deployments.onLiveLocal", "true")
    versions.git("config", "--add", "deployments.onLive", "exit 3")
    versions.git("config", "--add", "deployments.onLive", "true")
    visit = Visit(versions)
    answer = visit.post(f"{PROD}move", **visit.form(f"{PROD}move"))
    page = plain(visit.get(f"{PROD}?{answer.headers['Location'].partition('?')[2]}"))
    assert "deployments.onLive: 'exit 3' ended with status 3 for etl/prod" in page
    assert "Rolled back from v3 to v2." in page
    assert versions.live() == 2


def test_the_preview_of_a_move_that_is_none_leads_to_the_deployment(visit: Visit) -> None:
    answer = visit.client.get(f"{PROD}move?to=number:3", base_url=visit.base)
    assert (answer.status_code, answer.headers["Location"]) == (303, "../../../../deployments/etl/prod/log/")


def test_nobody_to_move_as_is_an_error_with_what_to_do(versions: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.delenv(f"GIT_{role}_NAME")
        monkeypatch.delenv(f"GIT_{role}_EMAIL")
    visit = Visit(versions)
    answer = visit.post(f"{PROD}move", **visit.form(f"{PROD}move"))
    assert answer.status_code == 500
    assert "git config --global user.name" in answer.text


# Following


def test_the_digest_changes_with_each_move_and_only_then(versions: Project) -> None:
    visit = Visit(versions)
    states = ["/state", f"{PROD}state"]
    before = [visit.get(path) for path in states]
    assert [visit.get(path) for path in states] == before
    assert f'data-digest="{before[1]}"' in visit.get(PROD)
    versions.ok("rollback", "prod")
    after = [visit.get(path) for path in states]
    assert all(one != other for one, other in zip(before, after, strict=True))
    versions.deploy("other", name="other")
    assert visit.get(states[0]) != after[0]
    assert visit.get(states[1]) == after[1]


def test_the_digest_changes_with_what_is_seen_at_a_remote(versions: Project) -> None:
    hub = versions.path.with_name("hub.git")
    versions.git("clone", "-q", "--mirror", ".", str(hub))
    versions.git("remote", "add", "origin", str(hub))
    visit = Visit(versions)
    states = ["/state", f"{PROD}state"]
    before = [visit.get(path) for path in states]
    versions.ok("fetch", "origin")
    assert all(visit.get(path) != state for path, state in zip(states, before, strict=True))


def test_a_page_looks_as_often_as_the_benchmark_says() -> None:
    from tests.benchmarks.pages import PAUSE
    from tests.test_architecture import PACKAGE

    script = (PACKAGE / "web" / "assets" / "page.js").read_text(encoding="utf-8")
    assert f"const pause = {PAUSE:.0f};" in script


# Hostile content

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>'\"&amp;\u202eevil\u2066"
LONG = "x" * (1 << 20)


def test_markup_in_every_field_is_text(project: Project) -> None:
    name = "\"'; alert(1) 'flow"
    project.commit(HOSTILE, code="a\n")
    project.write("<b>&.txt", HOSTILE)
    project.commit(HOSTILE)
    for number in (1, 2):
        project.manifest(
            HOSTILE + str(number), name=name, flow=name, tags=[HOSTILE], labels={HOSTILE: HOSTILE},
            parameters={HOSTILE: [HOSTILE, {HOSTILE: number}]}, job_variables={"a": HOSTILE},
            schedules=[{"cron": "0 5 * * *", "timezone": "Europe/Berlin", "slug": HOSTILE}],
        )  # fmt: skip
        branch = {"GITHUB_SHA": project.git("rev-parse", "HEAD"), "GITHUB_REF_NAME": HOSTILE, "GITHUB_ACTOR": HOSTILE}
        author = {"GIT_AUTHOR_NAME": "'\"\u202eevil&amp; alert(1)"}
        project.ok(
            "deploy", "--version", f"'\"><script>{number}", "-m", HOSTILE,
            GITHUB_SERVER_URL="javascript:alert(1)//", GITHUB_REPOSITORY='"><script>', **branch, **author,
        )  # fmt: skip
    project.ok("rollback", f"{name}/{name}", "-m", HOSTILE + "{{ 7*7 }}")
    visit = Visit(project)
    listed = visit.get("/")
    assert len(re.findall("</script>", listed)) == 3, "the data ends its element"
    base = "/" + re.findall(r'href="(?:\.\./)*(deployments/[^"]*?)/log/', visit.get(path_of(name)))[0]
    for page in ("log/", "log/move?to=number:2", "versions/1", "versions/1..2"):
        body = visit.get(f"{base}/{page}")
        assert "alert(1)" in body
        assert not re.search(r"<(script(?! src=)|img src=x|b>)|javascript:alert\(1\)//[^<]*\"", body), page
        assert "\u202e" not in body
        assert "\u2066" not in body
        assert "&amp;amp;" in body, "an entity is text, too"
    assert "{{ 7*7 }}" in visit.get(f"{base}/log/")


def path_of(name: str) -> str:
    from urllib.parse import quote

    from git_deployments.names import encode

    return f"/deployments/{quote(encode(f'{name}/{name}'))}/log/"


def test_texts_of_a_megabyte_do_not_make_a_page_large(project: Project) -> None:
    project.git("config", "deployments.maxSnapshotSize", "8m")
    words = "word " * (1 << 17)
    for number in (1, 2):
        project.write("long.txt", f"{LONG}{number}\n" * 2)
        project.git("add", ".")
        project.git("commit", "-q", "-F", "-", stdin=f"{LONG}{number}")
        project.manifest(
            f"{words}{number}",
            parameters={"long": LONG + str(number), "many": [str(n * number) for n in range(20_000)]},
        )
        branch = LONG[:100_000]  # a variable of the environment has no more
        project.ok(
            "deploy", "-m", LONG, GITHUB_SHA=project.git("rev-parse", "HEAD"), GITHUB_REF_NAME=branch,
            GITHUB_REPOSITORY="acme/etl", GITHUB_SERVER_URL="https://github.com",
        )  # fmt: skip
    project.ok("rollback", "prod", "-m", LONG)
    visit = Visit(project)
    for page in (
        "/",
        PROD,
        f"{PROD}move?to=number:2",
        "/deployments/etl/prod/versions/2",
        "/deployments/etl/prod/versions/1..2",
    ):
        assert len(visit.get(page)) < 80_000, page
    # And all of it can be seen.
    page = visit.get(PROD)
    assert f"all of it ({1 << 20:,} characters)" in page
    event = project.refs()["refs/deployments/etl/prod/log"]
    assert f"{event}.txt" in page
    assert visit.get(f"{PROD}{event}.txt") == LONG
    version = project.refs()["refs/deployments/etl/prod/versions/2"]
    assert visit.get(f"{PROD}{version}.txt") == LONG
    document = json.loads(visit.get("/deployments/etl/prod/versions/2.json"))
    assert document["parameters"]["long"] == LONG + "2"
    assert LONG in visit.get("/deployments/etl/prod/versions/1..2.diff")
    assert "The whole diff" in visit.get("/deployments/etl/prod/versions/1..2")
