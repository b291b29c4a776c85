"""The text-to-3D demo as a visitor sees it: real browser, real scenes of a few steps, an untrained VLM."""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("gradio")
pytest.importorskip("selenium")

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from apps.text3d.demo import build_page, launch
from apps.text3d.workbench import Workbench
from tests.apps.text3d.demo_parts import PROMPT, STEPS, small_workbench, vlm_folder
from tests.browser.pages import serving

pytestmark = pytest.mark.browser

HOSTILE = "<img src=x onerror='window.hacked=1'>${window.hacked=2}{{1+1}}"


class Page:
    """The demo in a browser: finds by element id, waits for what it expects, never sleeps."""

    def __init__(self, driver: Any, address: str) -> None:
        self.driver = driver
        self.wait = WebDriverWait(driver, 120)
        driver.get(address)
        self.wait_text("preview", "appears here")

    def find(self, selector: str) -> Any:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def read(self, script: str, *arguments: Any) -> Any:
        # Parts of the page are replaced while they are looked at; the page's own script sees one of them whole.
        return self.driver.execute_script(script, *arguments)

    def text(self, name: str) -> str:
        return self.read("return document.getElementById(arguments[0])?.innerText ?? ''", name)

    def wait_text(self, name: str, expected: str) -> None:
        self.wait.until(lambda _: expected in self.text(name), f"#{name} never showed {expected!r}")

    def click(self, name: str) -> None:
        self.wait.until(lambda _: self.find(f"#{name}").is_enabled(), f"{name} cannot be clicked")
        # Not by the pointer: what stands above grows while a scene is shaped.
        self.read("document.getElementById(arguments[0]).click()", name)

    def fill(self, name: str, text: str) -> None:
        field = self.find(f"#{name} :is(textarea, input)")
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(text)
        self.wait.until(lambda _: field.get_attribute("value") == text)

    def number(self, name: str, value: Any) -> None:
        field = self.find(f"#{name} input[type=number]")
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(str(value), Keys.TAB)

    def shape(self) -> None:
        """Have it shaped, and wait until everything is there and both buttons stand as before."""
        self.click("start")
        self.wait.until(lambda _: self.find("#stop").is_enabled(), "it never began")
        self.finished()

    def finished(self) -> None:
        self.wait.until(lambda _: self.find("#start").is_enabled(), "it never came to an end")

    def wait_model(self) -> None:
        """Until the viewer has drawn more than its background."""
        drawn = (
            "const one = document.querySelector('#model canvas'); if (!one) return 0;"
            "const copy = document.createElement('canvas'); copy.width = copy.height = 48;"
            "const pen = copy.getContext('2d', {willReadFrequently: true}); pen.drawImage(one, 0, 0, 48, 48);"
            "const found = pen.getImageData(0, 0, 48, 48).data;"
            "return new Set(Array.from({length: 2304}, (_, at) => found.slice(4 * at, 4 * at + 4).join())).size"
        )
        # Read in the frame in which it is drawn: a WebGL canvas is empty afterwards.
        script = f"const done = arguments[0]; requestAnimationFrame(() => done((() => {{{drawn}}})()))"
        self.wait.until(lambda _: self.driver.execute_async_script(script) > 20, "the viewer shows nothing")

    def download(self, name: str) -> bytes:
        address = self.read(
            "return document.querySelector(`a:has(#${arguments[0]}), #${arguments[0]} a, a#${arguments[0]}`)?.href",
            name,
        )
        with urllib.request.urlopen(address) as answer:
            return answer.read()


@pytest.fixture(scope="module")
def workbench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    made = small_workbench(f"--guidance.vlm.model={vlm_folder(tmp_path_factory.mktemp('models') / 'vlm')}")
    yield made
    made.close()


@pytest.fixture(scope="module")
def address(workbench: Workbench) -> Iterator[str]:
    with serving(build_page(workbench, 0.0), launch) as url:
        yield url


@pytest.fixture(scope="module")
def page(driver: Any, address: str) -> Page:
    return Page(driver, address)


def test_a_prompt_becomes_a_scene_to_turn_with_bars_and_files(page: Page, workbench: Workbench) -> None:
    assert "upper bound, no text-to-3D result" in page.text("critic")
    page.fill("prompt", PROMPT)
    page.number("steps", STEPS)
    page.shape()
    page.wait_text("preview", f"finished after {STEPS} steps")
    assert page.find("#preview svg polyline.mean").get_attribute("points").count(",") == STEPS
    page.wait_model()
    assert page.read("return document.querySelector('#film video').duration") > 0
    assert len(page.driver.find_elements(By.CSS_SELECTOR, "#judged .bars tbody tr")) == 4
    assert re.search(r"right in \d+ of \d+ answers", page.text("asked"))
    assert "Does the picture show a red cube? Answer Yes or No only.\tyes" in page.text("asked")
    assert "All sides together" in page.text("asked")
    assert page.download("get-glb")[:4] == b"glTF"
    assert page.download("get-ply")[:3] == b"ply"
    assert page.download("get-mp4")[4:8] == b"ftyp"
    assert page.download("get-sheet")[1:4] == b"PNG"
    assert not page.driver.find_elements(By.ID, "get-splats")
    assert not list(workbench.folder.iterdir()), "the run's folder stayed behind"


def test_it_is_watched_and_stopped_and_gaussians_have_their_own_file(page: Page) -> None:
    page.read("document.querySelector('#kind input[value=gaussians]').click()")
    page.number("steps", 2000)
    page.fill("prompt", "a green cone that sings")
    page.click("start")
    page.wait.until(lambda _: re.search(r"step [1-9]\d* of 2000, shaping", page.text("preview")))
    assert "“sings”" in page.text("message")
    assert page.read("return document.querySelector('#preview img').naturalWidth") == 4 * 112
    assert not page.find("#start").is_enabled()
    page.click("stop")
    page.finished()
    assert re.search(r"finished after \d+ steps, stopped before its 2000", page.text("preview"))
    assert page.download("get-splats")[:3] == b"ply"
    page.wait_model()


def test_what_cannot_be_is_said_readably(page: Page) -> None:
    for prompt, said in (("a dragon", "nothing in 'a dragon' is known here"), (HOSTILE, "<img src=x"), (" ", "write")):
        page.fill("prompt", prompt)
        page.click("start")
        page.wait_text("message", said)
        page.finished()
        assert "That did not work" in page.text("message")
        page.wait_text("preview", "appears here")
    assert page.read("return window.hacked === undefined")
    assert not page.driver.find_elements(By.CSS_SELECTOR, "img[src=x]")
    # Locked is what has no model.
    locked = page.driver.find_elements(By.CSS_SELECTOR, "#weights input[type=number]:disabled")
    assert len(locked) == 2
    assert "needs a model: --guidance.sds.model" in page.text("weights")


def test_an_example_and_its_weights_are_taken(page: Page) -> None:
    page.read(
        "[...document.querySelectorAll('#examples button, #examples td')].find("
        "one => one.innerText.trim() === arguments[0]).click()",
        "two small orange spheres",
    )
    page.wait.until(lambda _: page.find("#prompt textarea").get_attribute("value") == "two small orange spheres")
    page.number("steps", 1)
    page.number("weight-analytic", 0)
    page.click("start")
    page.wait_text("message", "there is no guidance")
    page.finished()
    page.number("weight-vlm-semantic", 1)
    page.shape()
    page.wait_text("preview", "finished after 1 steps")
    assert "upper bound" not in page.text("preview")


def test_the_page_asks_nothing_of_the_network(page: Page) -> None:
    loaded = page.driver.execute_script("return performance.getEntriesByType('resource').map(entry => entry.name)")
    assert loaded
    own = ("http://127.0.0.1", "http://localhost", "data:", "blob:")
    assert [name for name in loaded if not name.startswith(own)] == []
