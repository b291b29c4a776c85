"""The text-to-3D demo as a visitor sees it: real browser, real scenes of a few steps, an untrained VLM."""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("gradio")
pytest.importorskip("selenium")

import numpy as np
from PIL import Image
from selenium.webdriver.common.by import By

from apps.text3d.demo import PAGE, build_page
from apps.text3d.demo_handlers import FILES
from apps.text3d.workbench import Workbench
from tests.apps.text3d.demo_parts import PROMPT, STEPS, small_workbench, vlm_folder
from tests.browser.pages import Page, serving

pytestmark = pytest.mark.browser

HOSTILE = "<img src=x onerror='window.hacked=1'>${window.hacked=2}{{1+1}}"


class DemoPage(Page):
    """The demo in a browser."""

    def __init__(self, driver: Any, address: str, patience: float = 120) -> None:
        super().__init__(driver, address, patience)
        self.wait_text("preview", "appears here")

    def click(self, name: str) -> None:
        self.wait.until(lambda _: self.find(f"#{name}").is_enabled(), f"{name} cannot be clicked")
        # Not by the pointer: what stands above grows while a scene is shaped.
        self.read("document.getElementById(arguments[0]).click()", name)

    def shape(self) -> None:
        """Have it shaped, and wait until everything is there and both buttons stand as before."""
        self.click("start")
        self.wait.until(lambda _: self.find("#stop").is_enabled(), "it never began")
        self.finished()

    def finished(self) -> None:
        self.wait.until(lambda _: self.find("#start").is_enabled(), "it never came to an end")

    def wait_model(self) -> None:
        """Until the viewer shows something in colour."""

        def coloured(_: Any) -> bool:
            pixels = np.asarray(Image.open(BytesIO(self.find("#model").screenshot_as_png)).convert("RGB"), int)
            return int((np.ptp(pixels, axis=-1) > 80).sum()) > 500

        self.wait.until(coloured, "the viewer shows nothing")

    def download(self, name: str, folder: Path) -> bytes:
        """What the browser saves after a click on a button."""
        self.driver.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(folder)})
        before = set(folder.iterdir())
        self.click(f"get-{name}")
        file = folder / FILES[name][1]
        self.wait.until(lambda _: set(folder.iterdir()) - before == {file}, f"{file.name} was never saved")
        return file.read_bytes()


@pytest.fixture(scope="module")
def workbench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    made = small_workbench(f"--guidance.vlm.model={vlm_folder(tmp_path_factory.mktemp('models') / 'vlm')}")
    yield made
    made.close()


@pytest.fixture(scope="module")
def address(workbench: Workbench) -> Iterator[str]:
    with serving(build_page(workbench, 0.0), PAGE) as url:
        yield url


@pytest.fixture(scope="module")
def page(driver: Any, address: str) -> DemoPage:
    return DemoPage(driver, address)


def test_a_prompt_becomes_a_scene_to_turn_with_bars_and_files(
    page: DemoPage, workbench: Workbench, tmp_path: Path
) -> None:
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
    assert "Does the picture show a red cube?\tyes" in page.text("asked")
    assert "All sides together" in page.text("asked")
    assert page.download("glb", tmp_path)[:4] == b"glTF"
    assert page.download("ply", tmp_path)[:3] == b"ply"
    assert page.download("mp4", tmp_path)[4:8] == b"ftyp"
    assert page.download("sheet", tmp_path)[1:4] == b"PNG"
    assert not page.driver.find_elements(By.ID, "get-splats")
    assert not list(workbench.folder.iterdir()), "the run's folder stayed behind"


def test_it_is_watched_and_stopped_and_gaussians_have_their_own_file(page: DemoPage, tmp_path: Path) -> None:
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
    assert page.download("splats", tmp_path)[:3] == b"ply"
    page.wait_model()


def test_what_cannot_be_is_said_readably(page: DemoPage) -> None:
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


def test_an_example_and_its_weights_are_taken(page: DemoPage) -> None:
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
    page.wait_text("preview", "finished after 1 step")
    assert "upper bound" not in page.text("preview")


def test_one_at_a_time_and_who_closes_the_page_makes_room(page: DemoPage, workbench: Workbench, address: str) -> None:
    page.number("steps", 2000)
    page.number("weight-analytic", 1)
    page.click("start")
    page.wait.until(lambda _: "of 2000, shaping" in page.text("preview"))
    first = page.driver.current_window_handle
    page.driver.switch_to.new_window("tab")
    other = DemoPage(page.driver, address)
    other.number("steps", 1)
    other.click("start")
    other.wait_text("preview", "Waiting for its turn")
    assert len(list(workbench.folder.iterdir())) == 1
    second = page.driver.current_window_handle
    page.driver.switch_to.window(first)
    page.driver.close()
    page.driver.switch_to.window(second)
    other.wait_text("preview", "finished after 1 step;")
    other.finished()
    assert not list(workbench.folder.iterdir()), "it is shaped on, for nobody"


def test_the_page_asks_nothing_of_the_network(page: DemoPage) -> None:
    loaded = page.driver.execute_script("return performance.getEntriesByType('resource').map(entry => entry.name)")
    assert loaded
    own = ("http://127.0.0.1", "http://localhost", "data:", "blob:")
    assert [name for name in loaded if not name.startswith(own)] == []
