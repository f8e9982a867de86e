"""The pages in a real Chromium, from click to ref.

Skipped where there is none; with `GIT_DEPLOYMENTS_BROWSER` set that is a failure.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.benchmarks.histories import Plan
from tests.benchmarks.histories import history as long_history
from tests.conftest import Project

from .conftest import served

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(
    not CHROMIUM and "GIT_DEPLOYMENTS_BROWSER" not in os.environ,
    reason="no Chromium here: the pages were not tried in a browser",
)
QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
IMAGES = os.environ.get("GIT_DEPLOYMENTS_IMAGES")
"""Where the pictures of the README go; None: nowhere that stays."""
SIDEWAYS = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
HOSTILE = "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>\u202eevil\x1b[31m"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)


Visit = Callable[[str], Page]


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    """Opens an address in a browser of its own; an error in a script or a refused resource fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(20_000)
    wrong: list[str] = []

    def opened(address: str) -> Page:
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda line: wrong.append(line.text) if "Content Security" in line.text else None)
        page.goto(address)
        return page

    yield opened
    context.close()
    assert wrong == []


@pytest.fixture
def story(project: Project) -> Project:
    """Three versions, the last of them rolled back."""
    project.commit("Start", **{"flow.py": "def etl(): ...\n"})
    for label, batch in (("1.0.0", 100), ("1.1.0", 200), ("2.0.0", 500)):
        project.deploy(f"Loads the orders, {batch} at a time", "-m", f"batches of {batch}", version=label)
    project.ok("rollback", "prod", "-m", "totals were wrong")
    return project


def test_a_roll_back_from_click_to_ref(story: Project, visit: Visit) -> None:
    with served(story.path) as server:
        page = visit(server.address)
        page.get_by_role("link", name="etl/prod", exact=True).click()
        expect(page.locator("section.now")).to_contain_text("totals were wrong")
        page.locator("section.now").get_by_role("link", name="Roll back to v1").click()
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("Will change")
        expect(dialog).to_contain_text("Will not change")
        dialog.get_by_label("Why").fill("v2 is wrong as well")
        dialog.get_by_role("button", name="Roll back to v1").click()
        expect(page.locator("#done")).to_contain_text("promote")
    assert story.live() == 1
    event = story.ok("log", "prod", "--json").json[0]
    assert (event["action"], event["reason"]) == ("rollback", "v2 is wrong as well")


def test_two_clicks_from_the_list_put_it_back(story: Project, visit: Visit) -> None:
    with served(story.path) as server:
        page = visit(server.address)
        page.get_by_role("link", name="Roll back").click()
        page.get_by_role("dialog").get_by_role("button", name="Roll back to v1").click()
        expect(page.locator("#done")).to_be_visible()
    assert story.live() == 1


def test_a_lost_race_is_shown_and_overwrites_nothing(story: Project, visit: Visit) -> None:
    with served(story.path) as server:
        page = visit(f"{server.address}")
        page.get_by_role("link", name="etl/prod", exact=True).click()
        page.locator("section.now").get_by_role("link", name="Roll back to v1").click()
        dialog = page.get_by_role("dialog")
        expect(dialog).to_be_visible()
        story.ok("promote", "prod", "v3", "-m", "it was right after all")
        expect(dialog).to_contain_text("Something moved meanwhile")
        dialog.get_by_role("button", name="Roll back to v1").click()
        expect(page.get_by_role("alert")).to_contain_text("it was right after all")
    assert story.live() == 3


def test_an_open_page_follows_what_is_moved_elsewhere(story: Project, visit: Visit) -> None:
    with served(story.path) as server:
        page = visit(server.address)
        row = page.get_by_role("row").filter(has_text="prod")
        expect(row).to_contain_text("v2")
        story.ok("promote", "prod", "v3", "-m", "seen without a reload")
        expect(row).to_contain_text("seen without a reload", timeout=5_000)
        page.get_by_role("link", name="etl/prod", exact=True).click()
        expect(page.locator("#now .big")).to_have_text("v3")
        story.ok("rollback", "prod", "v1")
        expect(page.locator("#now .big")).to_have_text("v1", timeout=5_000)


def test_what_a_prefect_server_says_comes_after_the_page(story: Project, visit: Visit) -> None:
    """Prefect's client is not installed here, and both pages say so, each in its place."""
    with served(story.path, PREFECT_API_URL="http://127.0.0.1:9/api") as server:
        page = visit(server.address)
        expect(page.locator("#server")).to_contain_text("Prefect server: Prefect's client library is not installed")
        page.get_by_role("link", name="etl/prod", exact=True).click()
        expect(page.locator("#server")).to_contain_text("not known Prefect's client library is not installed")
        expect(page.locator("#server-mark")).to_be_hidden()


def test_the_keyboard_alone_is_enough(story: Project, visit: Visit) -> None:
    with served(story.path) as server:
        page = visit(server.address)
        page.keyboard.press("/")
        page.keyboard.type("prod")
        page.get_by_role("link", name="etl/prod", exact=True).focus()
        page.keyboard.press("Enter")
        expect(page.locator("section.now")).to_be_visible()
        link = page.locator("section.now").get_by_role("link", name="Roll back to v1")
        _tab_to(page, "Roll back to v1")
        expect(link).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.get_by_role("dialog")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)
        expect(link).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.get_by_label("Why")).to_be_focused()
        page.keyboard.type("from the keyboard")
        page.keyboard.press("Control+Enter")
        expect(page.locator("#done")).to_be_focused()
    assert story.live() == 1


def _tab_to(page: Page, words: str) -> None:
    for _ in range(30):
        page.keyboard.press("Tab")
        if words in str(page.evaluate("document.activeElement.textContent")):
            return


def test_in_a_small_window_the_change_is_seen_first_and_the_button_always(story: Project, visit: Visit) -> None:
    with served(story.path) as server:
        page = visit(server.address)
        page.set_viewport_size({"width": 360, "height": 480})
        page.get_by_role("link", name="Roll back").click()
        dialog = page.get_by_role("dialog")
        expect(dialog.get_by_role("heading", name="Will change")).to_be_in_viewport()
        expect(dialog.get_by_role("button", name="Roll back to v1")).to_be_in_viewport(ratio=1)
        expect(dialog.get_by_label("Why")).to_be_focused()
        dialog.get_by_role("button", name="Roll back to v1").click()
        expect(page.locator("#done")).to_be_visible()
    assert story.live() == 1


def test_what_did_not_follow_a_move_is_told_beside_its_undo(story: Project, visit: Visit) -> None:
    story.git("config", "deployments.onLiveLocal", "true")
    story.git("config", "deployments.onLive", "exit 7")
    with served(story.path) as server:
        page = visit(server.address)
        page.get_by_role("link", name="Roll back").click()
        page.get_by_role("dialog").get_by_role("button", name="Roll back to v1").click()
        expect(page.get_by_role("alert")).to_contain_text("'exit 7' ended with status 7")
        expect(page.locator("#done")).to_contain_text("git deployments promote etl/prod v2")
        _without_violations(page)
        page.locator("#done").get_by_role("link", name="Undo").click()
        page.get_by_role("dialog").get_by_role("button", name="Promote v2").click()
        expect(page.locator("#now .big")).to_have_text("v2")
    assert story.live() == 2


def test_an_address_unfolds_what_it_names(story: Project, visit: Visit) -> None:
    with served(story.path) as server:
        page = visit(server.address)
        page.goto(f"{server.base}deployments/etl/prod/versions/1..3")
        page.locator("#same > summary").click()
        expect(page).to_have_url(f"{server.base}deployments/etl/prod/versions/1..3#same")
        page.reload()
        expect(page.locator("#same > dl")).to_be_visible()


def test_hostile_content_is_text(project: Project, visit: Visit) -> None:
    project.commit(HOSTILE.replace("\x1b", ""), **{"flow.py": HOSTILE})
    project.deploy(HOSTILE, "-m", HOSTILE, version="1 <b>bold</b>")
    project.deploy("long " * 200_000, "-m", "x" * 500_000)
    with served(project.path) as server:
        page = visit(server.address)
        assert page.title() != "taken"
        page.get_by_role("link", name="etl/prod", exact=True).click()
        page.wait_for_url("**/deployments/etl/prod/log/")
        for address in ("log/", "versions/1", "versions/2", "versions/1..2"):
            page.goto(f"{server.base}deployments/etl/prod/{address}")
            expect(page.locator("main img, main script:not([type='application/json'])")).to_have_count(0)
            assert not page.evaluate(SIDEWAYS)
            assert page.title() != "taken"
        page.goto(f"{server.base}deployments/etl/prod/versions/1")
        expect(page.get_by_text("<b>bold</b>").first).to_be_visible()
        expect(page.get_by_text("onerror=").first).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(story: Project, visit: Visit, scheme: str) -> None:
    with served(story.path) as server:
        page = visit(server.address)
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        base = f"{server.base}deployments/etl/prod"
        for address in (server.base, f"{base}/log/", f"{base}/log/move", f"{base}/versions/2", f"{base}/versions/2..3"):
            for width in (1280, 360):
                page.set_viewport_size({"width": width, "height": 800})
                page.goto(address)
                _without_violations(page)
        page.set_viewport_size({"width": 1280, "height": 800})
        page.goto(f"{base}/log/")
        page.locator("section.now").get_by_role("link", name="Roll back to v1").click()
        expect(page.get_by_role("dialog")).to_be_visible()
        _without_violations(page)


def _without_violations(page: Page) -> None:
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("width", [360, 768, 1000, 2000])
def test_no_page_is_wider_than_the_window(story: Project, visit: Visit, width: int) -> None:
    with served(story.path) as server:
        page = visit(server.address)
        page.set_viewport_size({"width": width, "height": 800})
        base = f"{server.base}deployments/etl/prod"
        for address in (server.base, f"{base}/log/", f"{base}/versions/2", f"{base}/versions/2..3"):
            page.goto(address)
            assert not page.evaluate(SIDEWAYS), address
        page.goto(server.base)
        for cell in page.locator("#list tbody tr > *").all():
            box = cell.bounding_box()
            assert box
            assert box["width"] >= 80, "no column is too narrow to be read"


def test_a_thousand_deployments_are_filtered_and_sorted(tmp_path: Path, visit: Visit) -> None:
    names = tuple(f"flow{n % 10}/d{n:04}" for n in range(1_000))
    sandbox = long_history(tmp_path / "many", Plan(1, names))
    with served(sandbox.path) as server:
        page = visit(server.address)
        rows = page.locator("#list tbody tr")
        expect(page.locator("#count")).to_contain_text("1,000")
        page.get_by_label("Filter").fill("flow7/d0007")
        expect(rows).to_have_count(1)
        page.get_by_label("Filter").fill("")
        page.get_by_role("button", name="Deployment").click()
        expect(rows.first).to_contain_text("d0000")
        page.get_by_role("button", name="Deployment").click()
        expect(rows.first).to_contain_text("d0999")


def test_the_export_works_from_disk(story: Project, visit: Visit, tmp_path: Path) -> None:
    story.ok("web", "--export", str(tmp_path / "pages"))
    page = visit((tmp_path / "pages/index.html").as_uri())
    page.get_by_role("link", name="etl/prod", exact=True).click()
    expect(page.locator("section.now")).to_contain_text("totals were wrong")
    expect(page.get_by_role("link", name="Roll back")).to_have_count(0)
    page.get_by_role("link", name="Compare v3 with v2").click()
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.locator("main")).to_contain_text("500 at a time")


def test_pictures_of_the_main_pages(story: Project, visit: Visit, tmp_path: Path) -> None:
    """With `GIT_DEPLOYMENTS_IMAGES=docs/images` they are those of the README."""
    images = Path(IMAGES) if IMAGES else tmp_path
    story.git("config", "user.name", "Ada")
    with served(story.path) as server:
        page = visit(server.address)
        page.set_viewport_size({"width": 1000, "height": 620})
        page.goto(f"{server.base}deployments/etl/prod/log/")
        expect(page.locator("#now .big")).to_have_text("v2")
        page.screenshot(path=images / "deployment.png")
        page.locator("section.now").get_by_role("link", name="Promote v3").click()
        expect(page.get_by_role("dialog")).to_be_visible()
        page.screenshot(path=images / "promote.png")
    for name in ("deployment.png", "promote.png"):
        assert (images / name).stat().st_size > 10_000
