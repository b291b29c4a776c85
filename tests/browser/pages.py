"""Demo pages with scripted models, and a headless Chromium to look at them; shared by tests and screenshots."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from apps.text2sql.assistant import Answer, vote
from apps.text2sql.workbench import Workbench
from common import ui

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    # 3D without a graphics card.
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    # Nothing but this machine can be reached, so a page that needs more than itself fails here.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)


class Page:
    """A demo in a browser: finds by element id, waits for what it expects, never sleeps.

    Args:
        driver: Chromium's.
        address: of the page.
        patience: seconds until what is waited for must be there.
    """

    def __init__(self, driver: Any, address: str, patience: float = 120) -> None:
        self.driver = driver
        self.wait = WebDriverWait(driver, patience)
        driver.get(address)

    def find(self, selector: str) -> Any:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def read(self, script: str, *arguments: Any) -> Any:
        # Parts of the page are replaced while they are looked at; the page's own script sees one of them whole.
        return self.driver.execute_script(script, *arguments)

    def text(self, name: str) -> str:
        return self.read("return document.getElementById(arguments[0])?.innerText ?? ''", name)

    def wait_text(self, name: str, expected: str) -> None:
        self.wait.until(lambda _: expected in self.text(name), f"#{name} never showed {expected!r}")

    def fill(self, name: str, text: str) -> None:
        field = self.find(f"#{name} :is(textarea, input)")
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(text)
        self.wait.until(lambda _: field.get_attribute("value") == text)

    def number(self, name: str, value: Any) -> None:
        field = self.find(f"#{name} input[type=number]")
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(str(value), Keys.TAB)


class Scripted:
    """Answers each question with the queries it was given for it; what it has no answer for, it says so."""

    def __init__(self, judge: Any, answers: Mapping[str, Sequence[str]]) -> None:
        self.judge = judge
        self.answers = dict(answers)

    def ask(self, question: str, database: str) -> Answer:
        queries = list(self.answers.get(question, [""]))
        return Answer(question, vote(self.judge, database, queries), len(queries), queries[0] or "I do not know.")


@contextmanager
def served(workbench: Workbench) -> Iterator[str]:
    """The text-to-SQL page on a free port of this machine; yields its address."""
    from apps.text2sql.demo import PAGE, build_page

    with serving(build_page(workbench), PAGE) as address:
        yield address


@contextmanager
def serving(blocks: Any, settings: Mapping[str, Any]) -> Iterator[str]:
    """A demo's page on a free port of this machine, served with the demo's own `PAGE`; yields its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = ui.launch(blocks, port, prevent_thread_lock=True, quiet=True, **settings)
    try:
        yield address
    finally:
        blocks.close()


@contextmanager
def chromium(profile: Path, width: int = 1280, height: int = 1400) -> Iterator[Any]:
    """A headless Chromium with an empty profile; skips the test where there is none."""
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("needs Chromium and ChromeDriver (Debian: apt install chromium chromium-driver)")
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={profile}", f"--window-size={width},{height}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()
