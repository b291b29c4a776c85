"""All demos behind tabs: a real browser, a scripted text-to-SQL page, bare pages in the others' places."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("gradio")
pytest.importorskip("selenium")

import gradio

from apps.demo import Tab, assemble, serving
from apps.suite import APPS
from apps.text2sql.demo import PAGE, TITLE, build_page
from apps.text2sql.execution.workers import Judge
from apps.text2sql.reward_config import RewardConfig
from apps.text2sql.rewards import build_reward
from apps.text2sql.workbench import Workbench
from common import ui
from tests.browser.pages import Page, Scripted

pytestmark = pytest.mark.browser

COUNT = "How many singers are there?"


def bare(name: str) -> Tab:
    # Ids as in the other pages: they must not meet.
    with ui.page(f"Page of {name}", "Bare.") as blocks:
        gradio.Textbox(f"{name} speaks", elem_id="question")
    return Tab(f"Page of {name}", blocks)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    music = tmp_path_factory.mktemp("databases") / "music.sqlite"
    with sqlite3.connect(music) as connection:
        connection.executescript(
            "CREATE TABLE singer (id INTEGER PRIMARY KEY); INSERT INTO singer VALUES (1), (2), (3);"
        )
    connection.close()
    with Judge(workers=1) as judge:
        assistant = Scripted(judge, {COUNT: ["SELECT count(*) FROM singer"] * 5})
        workbench = Workbench(assistant, judge, build_reward(RewardConfig(recipe="execution")), {"music": music}, [])
        tabs = {name: bare(name) for name in APPS}
        tabs["text2sql"] = Tab(TITLE, build_page(workbench), PAGE)
        tabs["driving"] = Tab("driving", trouble="gymnasium is missing; pip install 'touchstone-rl[driving]'")
        with serving(assemble(tabs), 0) as (url, _):
            yield url


def chosen(page: Page, name: str) -> None:
    page.driver.switch_to.default_content()
    page.find(f"#tab-{name}").click()
    page.wait.until(lambda _: page.find(f"#panel-{name}").is_displayed())


def frame(page: Page, name: str) -> None:
    page.driver.switch_to.frame(page.find(f"#panel-{name} iframe"))


def test_every_tab_opens_and_a_question_is_answered_in_its_own(driver: Any, address: str) -> None:
    page = Page(driver, address)
    assert [tab.text for tab in driver.find_elements("css selector", "[role=tab]")] == list(APPS)
    for name in ("captioning", "medvqa", "text3d"):
        chosen(page, name)
        frame(page, name)
        said = f"{name} speaks"
        page.wait.until(
            lambda _, said=said: page.read("return document.querySelector('#question textarea')?.value") == said
        )
    chosen(page, "driving")
    assert "pip install 'touchstone-rl[driving]'" in page.text("panel-driving")
    assert sum(panel.is_displayed() for panel in driver.find_elements("css selector", "[role=tabpanel]")) == 1
    chosen(page, "text2sql")
    frame(page, "text2sql")
    page.wait_text("schema", "PK")
    page.fill("question", COUNT)
    page.find("#ask").click()
    page.wait_text("rows", "3")
    page.wait_text("agreement", "All 5 samples")
    # What was done stays while another tab is looked at, and a link leads to its tab.
    chosen(page, "medvqa")
    assert driver.current_url.endswith("#medvqa")
    chosen(page, "text2sql")
    frame(page, "text2sql")
    assert "3" in page.text("rows")


def test_nothing_outside_this_machine_is_asked(driver: Any, address: str) -> None:
    page = Page(driver, address + "#captioning")
    page.driver.refresh()
    frame(page, "captioning")
    page.wait.until(lambda _: page.read("return document.querySelector('#question textarea')?.value"))
    loaded = page.read("return performance.getEntriesByType('resource').map(entry => entry.name)")
    page.driver.switch_to.default_content()
    assert loaded
    assert all(name.startswith((address, "data:", "blob:")) for name in loaded)


def test_each_page_keeps_its_own_limit_of_uploads(address: str, tmp_path: Path) -> None:
    import httpx

    large = {"files": ("large.bin", b"0" * 200_000)}
    assert httpx.post(f"{address}text2sql/gradio_api/upload", files=large, timeout=30).status_code == 200
    assert httpx.post(f"{address}medvqa/gradio_api/upload", files=large, timeout=30).status_code == 413
    assert httpx.get(f"{address}openapi.json", timeout=30).status_code == 404
