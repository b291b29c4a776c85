"""The captioning demo as a visitor sees it: real browser, pictures, rewards and attention; scripted captioners."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("gradio")
pytest.importorskip("selenium")

from PIL import Image
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from apps.captioning.demo import PAGE, build_page
from apps.captioning.workbench import INITIAL, TRAINED, Workbench
from tests.apps.captioning.scripted import scripted_workbench
from tests.browser.pages import serving

pytestmark = pytest.mark.browser

SENTENCE = "Two small red stars to the left of a blue circle on a grey background."
WRONG = "Two small red stars to the left of a green circle on a grey background."
HOSTILE = "<img src=x onerror='window.hacked=1'>${window.hacked=2}{{1+1}}"


class Page:
    """The demo in a browser: finds by element id, waits for what it expects, never sleeps."""

    def __init__(self, driver: Any, address: str) -> None:
        self.driver = driver
        self.wait = WebDriverWait(driver, 30)
        driver.get(address)
        self.wait_for("#picture img")
        self.wait_text("attention", "weight")

    def find(self, selector: str) -> Any:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def wait_for(self, selector: str) -> Any:
        return self.wait.until(lambda _: self.driver.find_elements(By.CSS_SELECTOR, selector), selector)[0]

    def text(self, name: str) -> str:
        found = self.driver.find_elements(By.ID, name)
        return found[0].text if found else ""

    def wait_text(self, name: str, expected: str) -> None:
        self.wait.until(lambda _: expected in self.text(name), f"#{name} never showed {expected!r}")

    def click(self, name: str) -> None:
        self.driver.find_element(By.ID, name).click()

    def fill(self, name: str, text: str) -> None:
        field = self.find(f"#{name} :is(textarea, input)")
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(text)
        self.wait.until(lambda _: field.get_attribute("value") == text)

    def slide(self, name: str, value: int) -> None:
        # The number beside the slider: a pointer's way along a rail depends on its length.
        field = self.find(f"#{name} input[type=number]")
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(str(value), Keys.TAB)

    def draw(self, sentence: str) -> None:
        self.fill("sentence", sentence)
        self.click("draw")
        self.wait.until(lambda _: self.shown("alt") == sentence, "the scene was never drawn")

    def shown(self, attribute: str) -> str:
        # Pictures are replaced while they are looked at; the page's own script sees one of them whole.
        return self.driver.execute_script(
            "return document.querySelector('#picture img')?.getAttribute(arguments[0]) ?? ''", attribute
        )

    def upload(self, path: Path) -> None:
        # The browser's own file dialogue cannot be driven; the hidden input that it would fill can.
        self.find("input[data-testid$='upload-button']").send_keys(str(path))

    def rewards(self) -> dict[str, tuple[float, float]]:
        rows = re.findall(r"^(initialisation|trained|your caption)\s+(\S+)\s+(\S+)$", self.text("rewards"), re.M)
        return {name: (float(cos), float(agg)) for name, cos, agg in rows}


@pytest.fixture(scope="module")
def workbench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    said = {
        INITIAL: ["A blue star on grey.", f"{HOSTILE} star", "A red star."],
        TRAINED: [SENTENCE, "Two small red stars left of a blue circle on grey."],
    }
    return scripted_workbench(tmp_path_factory.mktemp("clip"), said, [HOSTILE, SENTENCE])


@pytest.fixture(scope="module")
def address(workbench: Workbench) -> Iterator[str]:
    with serving(build_page(workbench, 100.0), PAGE) as url:
        yield url


@pytest.fixture
def page(driver: Any, address: str) -> Page:
    return Page(driver, address)


def test_a_sentence_is_drawn_captioned_and_judged(page: Page) -> None:
    page.draw(SENTENCE)
    page.wait_text("captions", SENTENCE)
    page.wait_text("captions", "Exactly right")
    assert "leaves out" in page.text("captions")
    picture = page.find("#picture img")
    assert picture.value_of_css_property("image-rendering") == "pixelated"
    assert picture.size["width"] > 200
    assert page.driver.execute_script("return arguments[0].naturalWidth", picture) == 64
    assert set(page.rewards()) == {"initialisation", "trained"}
    first = page.shown("src")
    page.click("draw")
    page.wait.until(lambda _: page.shown("src") != first, "the scene was not drawn in a new way")


def test_a_random_scene_comes_with_its_sentence_and_can_be_a_held_out_one(page: Page) -> None:
    before = page.shown("src")
    page.find("#held input").click()
    page.click("random")
    page.wait.until(lambda _: page.shown("src") != before)
    page.wait_text("picture", "never seen together in training")
    assert page.find("#sentence textarea").get_attribute("value") == page.shown("alt")


def test_an_example_is_drawn_by_a_click(page: Page, workbench: Workbench) -> None:
    wanted = workbench.sentences()[2]
    page.driver.execute_script(
        "[...document.querySelectorAll('#examples button')].find(b => b.innerText.trim() === arguments[0]).click()",
        wanted,
    )
    page.wait.until(lambda _: page.shown("alt") == wanted)


def test_the_beam_widens_what_is_found(page: Page) -> None:
    page.draw(SENTENCE)
    page.wait_for("#captions details")
    page.slide("beam", 1)
    page.wait.until(lambda _: not page.driver.find_elements(By.CSS_SELECTOR, "#captions details"))
    page.slide("beam", 3)
    page.wait_for("#captions details summary").click()
    page.wait_text("captions", "star")


def test_a_caption_of_ones_own_gets_a_verdict_and_bars(page: Page) -> None:
    page.draw(SENTENCE)
    page.wait_text("captions", "Exactly right")
    page.fill("own", WRONG)
    page.click("check")
    page.wait_text("verdict", "1 fact wrong")
    assert "colour: says green, shown is blue" in page.text("verdict")
    page.wait_text("rewards", "your caption")
    assert page.rewards()["your caption"] != page.rewards()["trained"]
    page.fill("own", SENTENCE)
    page.click("check")
    page.wait_text("verdict", "Exactly right")
    page.wait.until(lambda _: page.rewards()["your caption"] == page.rewards()["trained"])
    page.draw("A red star.")
    page.wait.until(lambda _: "your caption" not in page.text("rewards"))
    page.click("check")
    page.wait_text("verdict", "write a caption first")


def test_the_temperature_moves_attention_and_clip_agg(page: Page) -> None:
    page.draw(SENTENCE)
    page.wait_text("attention", "other sentences together")
    before = page.rewards()
    page.slide("temperature", 0)
    page.wait.until(lambda _: "1.6%" in page.text("attention"), "a temperature of 0 weighs 62 sentences alike")
    page.wait.until(lambda _: page.rewards()["trained"][1] != before["trained"][1])
    assert page.rewards()["trained"][0] == before["trained"][0]


def test_a_sentence_that_is_none_is_said_readably(page: Page) -> None:
    page.draw(SENTENCE)
    page.fill("sentence", "a photo of my dog")
    page.click("draw")
    page.wait_text("message", "no sentence of the pocket grammar")
    assert page.shown("alt") == SENTENCE


def test_an_uploaded_picture_is_captioned_without_a_verdict(page: Page, tmp_path: Path) -> None:
    Image.effect_noise((900, 500), 80).convert("RGB").save(tmp_path / "photo.jpg")
    page.upload(tmp_path / "photo.jpg")
    page.wait_text("picture", "900 × 500 pixels")
    page.wait_text("message", "drawn shapes only")
    page.wait_text("captions", SENTENCE)
    page.wait.until(lambda _: "Exactly" not in page.text("captions"))
    assert page.find("#picture img").value_of_css_property("image-rendering") != "pixelated"
    page.fill("own", "noise")
    page.click("check")
    page.wait_text("rewards", "your caption")
    assert page.text("verdict") == ""


def test_uploads_that_are_no_pictures_are_refused_readably(page: Page, tmp_path: Path) -> None:
    page.draw(SENTENCE)
    for name, content in (
        ("notes.png", b"only its name says so"),
        ("torn.jpg", b"\xff\xd8\xff\xe0\x00"),
        ("e.gif", b""),
    ):
        (tmp_path / name).write_bytes(content)
        page.upload(tmp_path / name)
        page.wait_text("message", name)
        assert str(tmp_path) not in page.text("message")
        assert "/" not in page.text("message")
    assert page.shown("alt") == SENTENCE


def test_hostile_texts_are_texts(page: Page) -> None:
    page.draw(SENTENCE)
    page.slide("temperature", 0)
    page.fill("own", HOSTILE)
    page.click("check")
    page.wait_text("verdict", "<img src=x")
    page.fill("sentence", HOSTILE)
    page.click("draw")
    page.wait_text("message", "no sentence")
    for details in page.driver.find_elements(By.CSS_SELECTOR, "#captions details summary"):
        details.click()
    page.wait_text("captions", "<img src=x")
    assert page.driver.execute_script("return window.hacked === undefined")
    assert not page.driver.find_elements(By.CSS_SELECTOR, "img[src=x]")


def test_the_page_asks_nothing_of_the_network(page: Page) -> None:
    loaded = page.driver.execute_script("return performance.getEntriesByType('resource').map(entry => entry.name)")
    assert loaded
    own = ("http://127.0.0.1", "http://localhost", "data:", "blob:")
    assert [name for name in loaded if not name.startswith(own)] == []
