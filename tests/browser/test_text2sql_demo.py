"""The text-to-SQL demo as a visitor sees it: real browser, databases, verdicts and rewards; a scripted model."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("gradio")
pytest.importorskip("selenium")

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from apps.text2sql.data import Example
from apps.text2sql.execution.workers import Judge
from apps.text2sql.reward_config import RewardConfig
from apps.text2sql.rewards import build_reward
from apps.text2sql.workbench import Workbench
from tests.browser.pages import Scripted, served

pytestmark = pytest.mark.browser

COUNT, OLD, UNSURE = "How many singers are there?", "Wie heißen die Sänger über 40?", "Welche Lieder gibt es?"
HOSTILE = "<img src=x onerror='window.hacked=1'>${window.hacked=2}{{1+1}}"


class Page:
    """The demo in a browser: finds by element id, waits for what it expects, never sleeps."""

    def __init__(self, driver: Any, address: str) -> None:
        self.driver = driver
        self.wait = WebDriverWait(driver, 30)
        driver.get(address)
        self.wait_text("schema", "PK")

    def find(self, name: str, selector: str = "") -> Any:
        return self.driver.find_element(By.CSS_SELECTOR, f"#{name} {selector}")

    def text(self, name: str) -> str:
        found = self.driver.find_elements(By.ID, name)
        return found[0].text if found else ""

    def wait_text(self, name: str, expected: str) -> None:
        self.wait.until(lambda _: expected in self.text(name), f"#{name} never showed {expected!r}")

    def click(self, name: str) -> None:
        self.driver.find_element(By.ID, name).click()

    def fill(self, name: str, text: str) -> None:
        field = self.find(name, ":is(textarea, input)")
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(text)
        self.wait.until(lambda _: field.get_attribute("value") == text)

    def ask(self, question: str) -> None:
        self.fill("question", question)
        self.click("ask")

    def edit(self, name: str, sql: str) -> None:
        self.wait.until(lambda _: self.driver.find_elements(By.CSS_SELECTOR, f"#{name} .cm-content"))
        content = self.find(name, ".cm-content")
        content.send_keys(Keys.CONTROL, "a")
        content.send_keys(sql)

    def upload(self, path: Path) -> None:
        # The browser's own file dialogue cannot be driven; the hidden input that it would fill can.
        self.driver.find_element(By.CSS_SELECTOR, "input[data-testid$='upload-button']").send_keys(str(path))


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("databases") / "music.sqlite"
    with sqlite3.connect(path) as connection:
        connection.executescript(
            "CREATE TABLE singer (id INTEGER PRIMARY KEY, name TEXT, age INTEGER);"
            "CREATE TABLE song (id INTEGER PRIMARY KEY, title TEXT, singer_id INTEGER REFERENCES singer (id));"
            "INSERT INTO singer VALUES (1, 'Ada', 52), (2, 'Bo', 31), (3, 'Cleo', 45), (4, NULL, 45);"
            "INSERT INTO song VALUES (1, 'Blue', 1), (2, 'Green', 3);"
        )
        connection.execute("INSERT INTO song VALUES (3, ?, 3)", (HOSTILE,))
    connection.close()
    return path


@pytest.fixture(scope="module")
def address(music: Path) -> Iterator[str]:
    with Judge(workers=1) as judge:
        assistant = Scripted(
            judge,
            {
                COUNT: ["SELECT count(*) FROM singer"] * 5,
                OLD: ["SELECT name FROM singer WHERE age > 40"] * 5,
                UNSURE: ["SELECT title FROM song"] * 3
                + ["SELECT id FROM song", f"SELECT '{HOSTILE.split(chr(39))[0]}'"],
                "How many trees?": ["SELECT count(*) FROM tree"] * 5,
            },
        )
        examples = [Example("1", OLD, "de", "music", music, "SELECT name FROM singer WHERE age > 40")]
        reward = build_reward(RewardConfig(recipe="contrastive", encoder="hash"))
        with served(Workbench(assistant, judge, reward, {"music": music}, examples)) as url:
            yield url


@pytest.fixture
def page(driver: Any, address: str) -> Page:
    return Page(driver, address)


def test_a_question_gets_a_query_and_rows(page: Page) -> None:
    assert "singer.id" in page.text("schema")
    page.ask(COUNT)
    page.wait_text("sql", "SELECT count(*) FROM singer")
    page.wait_text("rows", "4")
    page.wait_text("agreement", "All 5 samples")
    assert page.driver.find_elements(By.CSS_SELECTOR, "#sql .cm-line span"), "the query is not highlighted"


def test_a_wrong_edit_changes_the_verdict_and_the_reward(page: Page) -> None:
    page.find("examples", "tbody td:last-child").click()
    page.wait.until(lambda _: page.find("question", ":is(textarea, input)").get_attribute("value") == OLD)
    page.click("ask")
    page.wait_text("sql", "age > 40")
    page.wait_text("source", "the gold query")
    page.click("check")
    page.wait_text("verdict", "Correct")
    page.wait_text("parts", "1.000")
    page.edit("edited", "SELECT name FROM singer WHERE age < 40")
    page.click("check")
    page.wait_text("verdict", "Wrong")
    page.wait_text("edited-rows", "Bo")
    assert "execution" in page.text("parts")
    assert "1.000" not in page.text("parts").splitlines()[0]
    page.edit("edited", "DROP TABLE singer")
    page.click("check")
    page.wait_text("verdict", "Refused")


def test_disagreement_is_said(page: Page) -> None:
    page.ask(UNSURE)
    page.wait_text("agreement", "only 3 of 5")
    page.wait_text("rows", "Blue")


def test_hostile_text_is_text(page: Page) -> None:
    page.ask(UNSURE)
    page.wait_text("rows", HOSTILE)
    page.find("agreement", "summary").click()
    page.wait_text("agreement", "<img src=x")
    page.ask(HOSTILE)
    page.wait_text("agreement", "wrote no query")
    page.edit("edited", f"SELECT {HOSTILE}")
    page.edit("reference", "SELECT 1")
    page.click("check")
    page.wait_text("verdict", "Not a query")
    assert page.driver.execute_script("return window.hacked === undefined")
    assert not page.driver.find_elements(By.CSS_SELECTOR, "img[src=x]")


def test_a_query_that_does_not_run_says_why(page: Page) -> None:
    page.ask("How many trees?")
    page.wait_text("agreement", "no such table: tree")


def test_an_empty_question_is_no_crash(page: Page) -> None:
    page.click("ask")
    page.wait_text("agreement", "type a question first")
    page.click("check")
    page.wait_text("verdict", "must hold a query")


def test_an_uploaded_database_is_asked_and_not_changed(page: Page, music: Path, tmp_path: Path) -> None:
    copy = tmp_path / "my music.db"
    copy.write_bytes(music.read_bytes())
    with sqlite3.connect(copy) as connection:
        connection.execute("DELETE FROM singer WHERE id > 1")
    connection.close()
    page.upload(copy)
    page.wait_text("upload-notice", "Opened read-only")
    page.wait.until(lambda _: "my music.db" in page.find("database", "input").get_attribute("value"))
    page.wait.until(lambda _: OLD not in page.driver.find_element(By.TAG_NAME, "body").text)
    page.ask(COUNT)
    page.wait_text("rows", "1")
    page.wait_text("agreement", "All 5 samples")


def test_uploads_that_are_no_database_are_refused_readably(page: Page, tmp_path: Path) -> None:
    for name, content, message in (
        ("notes.sqlite", b"this is not a database, only its name says so", "not an SQLite database"),
        ("empty.db", b"", "not an SQLite database"),
        ("torn.sqlite", b"SQLite format 3\0" + b"\xff" * 2000, "torn.sqlite"),
    ):
        (tmp_path / name).write_bytes(content)
        page.upload(tmp_path / name)
        page.wait_text("upload-notice", name)
        assert message in page.text("upload-notice")
        assert "/" not in page.text("upload-notice")
    page.ask(COUNT)
    page.wait_text("rows", "4")


def test_the_page_asks_nothing_of_the_network(page: Page) -> None:
    loaded = page.driver.execute_script("return performance.getEntriesByType('resource').map(entry => entry.name)")
    assert loaded
    assert [
        name for name in loaded if not name.startswith(("http://127.0.0.1", "http://localhost", "data:", "blob:"))
    ] == []
