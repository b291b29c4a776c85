"""The medical demo as a visitor sees it: real browser, phantoms, windows, uploads, scores, truth; scripted answers."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("gradio")
pytest.importorskip("selenium")

from PIL import Image
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from apps.medvqa.assistant import DISCLAIMER, Answer
from apps.medvqa.demo import PAGE, build_page
from apps.medvqa.demo_handlers import Handlers
from apps.medvqa.pocket import LABEL
from apps.medvqa.workbench import Wish, Workbench, make_phantom
from tests.apps.medvqa.scripted import Scripted
from tests.browser.pages import serving
from tests.common.dicom.dicoms import dicom

pytestmark = pytest.mark.browser

WHERE, SIZE = "Where is the nodule?", "How large is the nodule?"
HOSTILE = "<img src=x onerror='window.hacked=1'>${window.hacked=2}{{1+1}}"


class Page:
    """The demo in a browser: finds by element id, waits for what it expects, never sleeps."""

    def __init__(self, driver: Any, address: str) -> None:
        self.driver = driver
        self.wait = WebDriverWait(driver, 30)
        driver.get(address)
        self.wait_for("#picture img")
        self.wait_for("#examples button")
        self.wait_text("examples", WHERE)

    def find(self, selector: str) -> Any:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def wait_for(self, selector: str) -> Any:
        return self.wait.until(lambda _: self.driver.find_elements(By.CSS_SELECTOR, selector), selector)[0]

    def text(self, name: str) -> str:
        found = self.driver.find_elements(By.ID, name)
        return found[0].text if found else ""

    def wait_text(self, name: str, expected: str) -> None:
        self.wait.until(lambda _: expected in self.text(name), f"#{name} never showed {expected!r}")

    def wait_gone(self, name: str) -> None:
        self.wait.until(lambda _: not self.text(name), f"#{name} still shows {self.text(name)!r}")

    def click(self, name: str) -> None:
        self.driver.find_element(By.ID, name).click()

    def fill(self, name: str, text: str) -> None:
        field = self.find(f"#{name} :is(textarea, input)")
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(text)
        self.wait.until(lambda _: field.get_attribute("value") == text)

    def slide(self, name: str, value: float) -> None:
        # The number beside the slider: a pointer's way along a rail depends on its length.
        field = self.find(f"#{name} input[type=number]")
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(str(value), Keys.TAB)

    def choose(self, name: str, label: str) -> None:
        """An entry of a dropdown."""
        self.find(f"#{name} input").click()
        option = f"//ul[@role='listbox']//li[normalize-space(.)='{label}' or @aria-label='{label}']"
        self.wait.until(lambda _: self.driver.find_elements(By.XPATH, option), label)[0].click()

    def chosen(self, name: str) -> str:
        return self.find(f"#{name} input").get_attribute("value") or ""

    def example(self, question: str) -> None:
        buttons = "[...document.querySelectorAll('#examples button')]"
        self.driver.execute_script(f"{buttons}.find(b => b.innerText.trim() === arguments[0]).click()", question)

    def ask(self, question: str) -> None:
        self.fill("question", question)
        self.click("ask")

    def shown(self, attribute: str = "src") -> str:
        # Pictures are replaced while they are looked at; the page's own script sees one of them whole.
        return self.driver.execute_script(
            "return document.querySelector('#picture img')?.getAttribute(arguments[0]) ?? ''", attribute
        )

    def wait_new(self, before: str) -> str:
        self.wait.until(lambda _: self.shown() not in ("", before), "the picture stayed as it was")
        return self.shown()

    def wish(self, wish: Wish) -> None:
        """Draw the phantom of a wish, choice by choice."""
        size = f"{wish.size_mm} mm" if wish.size_mm else ""
        entries = {"organ": wish.organ, "finding": wish.finding, "side": wish.side, "zone": wish.zone}
        for name, label in {**entries, "count": str(wish.count), "size": size}.items():
            if label and self.chosen(name) != label:
                before = self.shown()
                self.choose(name, label)
                self.wait_new(before)
                self.wait.until(lambda _, name=name, label=label: self.chosen(name) == label)
        before = self.shown()
        self.slide("seed", wish.seed)
        if wish.seed:
            self.wait_new(before)

    def upload(self, path: Path) -> None:
        # The browser's own file dialogue cannot be driven; the hidden input that it would fill can.
        self.find("input[data-testid$='upload-button']").send_keys(str(path))


class Slow(Scripted):
    """Answers when its gate is open."""

    def __init__(self, said: Mapping[str, str]) -> None:
        super().__init__(said)
        self.gate = threading.Event()
        self.gate.set()

    def ask(self, question: str, pictures: Sequence[Image.Image]) -> Answer:
        answer = super().ask(question, pictures)
        assert self.gate.wait(60)
        return answer


@pytest.fixture(scope="module")
def assistant() -> Slow:
    return Slow(
        {
            WHERE: "<think>A round white spot in the right middle zone.</think><answer>right middle zone</answer>",
            SIZE: "<think>It is 30 mm across.</think><answer>30 mm</answer>",
            HOSTILE: f"<think>{HOSTILE}</think><answer>{HOSTILE}</answer>",
        }
    )


@pytest.fixture(scope="module")
def settled() -> list[bool]:
    """One entry for each answer that has reached the page."""
    return []


@pytest.fixture(scope="module")
def address(assistant: Slow, settled: list[bool]) -> Iterator[str]:
    settle = Handlers.settle

    def noted(self: Handlers, *values: Any) -> Any:
        settled.append(True)
        return settle(self, *values)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Handlers, "settle", noted)
        blocks = build_page(Workbench(assistant))
    with serving(blocks, PAGE) as url:
        yield url


@pytest.fixture
def page(driver: Any, address: str) -> Page:
    return Page(driver, address)


def scan(path: Path) -> Path:
    values = np.repeat(np.linspace(0, 2500, 64).astype(np.uint16)[:, None], 64, axis=1)
    about = {"Modality": "CT", "RescaleSlope": 1, "RescaleIntercept": -1000, "RescaleType": "HU"}
    path.write_bytes(dicom(values, **about, WindowCenter=40, WindowWidth=80))
    return path


def test_a_phantom_is_asked_about_scored_and_its_truth_told_on_demand(page: Page) -> None:
    assert LABEL in page.text("picture")
    page.example(WHERE)
    page.wait_text("answer", "right middle zone")
    assert page.find("#question :is(textarea, input)").get_attribute("value") == WHERE
    said = page.find("#answer .said")
    assert float(said.value_of_css_property("font-size").removesuffix("px")) >= 24
    # The reasoning is there, and folded away until it is asked for.
    assert "round white spot" not in page.text("answer")
    page.find("#answer summary").click()
    page.wait_text("answer", "round white spot")
    assert "right upper zone" not in page.driver.find_element(By.TAG_NAME, "body").text
    page.click("reveal")
    page.wait_text("truth", "Wrong: “right middle zone”")
    assert "Correct answer: right upper zone" in page.text("truth")
    assert "30 mm" in page.text("truth")
    page.wait_text("score", "Vetoed")
    assert page.find("#reference :is(textarea, input)").get_attribute("value") == "right upper zone"
    bars = page.driver.find_elements(By.CSS_SELECTOR, "#score .bar")
    assert len(bars) == 7
    widths = [bar.size["width"] for bar in bars]
    assert widths[0] < max(widths)
    # The next question takes score and truth away.
    page.example(SIZE)
    page.wait_text("answer", "30 mm")
    page.wait_gone("truth")
    page.wait_gone("score")
    page.click("reveal")
    page.wait_text("truth", "Exactly correct: “30 mm”")


def test_an_answer_that_comes_when_its_picture_is_gone_is_not_shown(
    page: Page, assistant: Slow, settled: list[bool]
) -> None:
    before, asked, arrived = page.shown(), len(assistant.asked), len(settled)
    assistant.gate.clear()
    try:
        page.ask(WHERE)
        page.wait.until(lambda _: len(assistant.asked) > asked)
        page.choose("organ", "leg")
        page.wait_new(before)
    finally:
        assistant.gate.set()
    page.wait.until(lambda _: len(settled) > arrived)
    page.wait_gone("answer")
    page.click("check")
    page.wait_text("score", "ask a question first")


def test_a_reference_of_ones_own(page: Page) -> None:
    page.click("check")
    page.wait_text("score", "ask a question first")
    page.fill("reference", "3 cm")
    page.ask(SIZE)
    page.wait_text("score", "Counts as correct")
    page.fill("reference", "right lung")
    page.click("check")
    page.wait_text("score", "wrong")


def test_the_dropdowns_draw_a_phantom_and_follow_each_other(page: Page) -> None:
    before = page.shown()
    page.choose("organ", "leg")
    before = page.wait_new(before)
    page.wait.until(lambda _: page.chosen("finding") == "fracture")
    assert page.chosen("zone") == "proximal third"
    assert not page.find("#size input").is_enabled()
    page.choose("finding", "lytic lesion")
    before = page.wait_new(before)
    page.choose("count", "3")
    before = page.wait_new(before)
    page.wait.until(lambda _: page.chosen("size") == "10 mm")
    page.wait_text("examples", "How many lytic lesions are there?")
    page.slide("seed", 5)
    before = page.wait_new(before)
    page.choose("finding", "none (normal)")
    page.wait_new(before)
    page.wait.until(lambda _: "lytic" not in page.text("examples"))
    page.click("reveal")
    page.wait_text("truth", "nothing abnormal")


def test_every_choice_reaches_the_picture(page: Page, assistant: Slow) -> None:
    wish = Wish("kidney", "kidney stone", "left", "lower pole", 5, 2, 77)
    page.wish(wish)
    page.ask("What is abnormal?")
    page.wait_text("answer", "no abnormality")
    wanted = np.asarray(make_phantom(wish)[0].seen())
    assert np.array_equal(np.asarray(assistant.asked[-1][1][0]), wanted)


def test_a_random_phantom_can_be_a_held_out_one(page: Page) -> None:
    before = page.shown()
    page.find("#held input").click()
    page.click("random")
    page.wait_new(before)
    page.wait_text("picture", "held out from training")


def test_the_sliders_change_what_is_shown_and_what_the_model_sees(page: Page, assistant: Slow) -> None:
    before = page.shown()
    page.slide("width", 60)
    changed = page.wait_new(before)
    page.ask(SIZE)
    page.wait_text("answer", "centre 127.5 and width 60")
    narrow = np.asarray(assistant.asked[-1][1][0])
    page.slide("width", 255)
    assert page.wait_new(changed) == before
    page.ask(WHERE)
    page.wait_text("answer", "as stored")
    assert np.unique(np.asarray(assistant.asked[-1][1][0])).size > np.unique(narrow).size


def test_a_ct_has_named_windows(page: Page, assistant: Slow, tmp_path: Path) -> None:
    before = page.shown()
    page.upload(scan(tmp_path / "scan.dcm"))
    before = page.wait_new(before)
    page.wait_text("picture", "Hounsfield units -1000 to 1500")
    page.wait_text("message", "only ever seen phantoms")
    page.wait_gone("reveal")
    page.wait_text("examples", "Is this image normal?")
    assert "nodule" not in page.text("examples")
    page.wait_text("preset", "brain")
    for name, centre in (("lung", "-600"), ("bone", "400")):
        page.find(f"#preset input[value='{name}']").click()
        before = page.wait_new(before)
        field = page.find("#centre input[type=number]")
        page.wait.until(lambda _, field=field, centre=centre: field.get_attribute("value") == centre)
    page.ask("What is abnormal?")
    page.wait_text("answer", "through the window “bone”")
    seen = np.asarray(assistant.asked[-1][1][0])[:, 0, 0].astype(int)
    wanted = np.clip((np.linspace(-1000, 1500, 64) - 400) / 1800 + 0.5, 0, 1) * 255
    assert np.abs(seen - wanted).max() <= 1
    page.slide("centre", -500)
    page.wait_new(before)
    page.wait.until(lambda _: not page.driver.find_elements(By.CSS_SELECTOR, "#preset input:checked"))


def test_a_photograph_has_no_named_windows_and_leaves_no_file(page: Page, tmp_path: Path) -> None:
    from gradio.utils import get_upload_folder

    before = page.shown()
    Image.effect_noise((900, 500), 80).convert("RGB").save(tmp_path / "a film of mine.jpg")
    page.upload(tmp_path / "a film of mine.jpg")
    page.wait_new(before)
    page.wait_text("picture", "900 × 500 pixels")
    page.wait_gone("preset")
    assert not [path for path in Path(get_upload_folder()).rglob("*film*mine*") if path.is_file()]


def test_uploads_that_are_no_pictures_are_refused_readably(page: Page, tmp_path: Path) -> None:
    before = page.shown()
    for name, content in (
        ("notes.png", b"only its name says so"),
        ("torn.dcm", scan(tmp_path / "x").read_bytes()[:900]),
    ):
        (tmp_path / name).write_bytes(content)
        page.upload(tmp_path / name)
        page.wait_text("message", name)
        assert str(tmp_path) not in page.text("message")
        assert "/" not in page.text("message")
    assert page.shown() == before


def test_nothing_but_uploads_can_be_opened(address: str, page: Page, tmp_path: Path) -> None:
    """A request that no browser would send: a path of the server's own, in place of an upload."""
    secret = tmp_path / "secret.png"
    buffer = BytesIO()
    Image.new("L", (33, 44), 200).save(buffer, "PNG")
    secret.write_bytes(buffer.getvalue())
    with urllib.request.urlopen(f"{address}config") as answer:
        config = json.load(answer)
    names = {part["id"]: part["props"].get("elem_id") for part in config["components"]}
    (event,) = (one for one in config["dependencies"] if [names.get(part) for part in one["inputs"]] == ["upload"])
    before = page.shown()
    for path in (str(secret), f"../../../..{secret}", "/etc/hostname"):
        data = [{"path": path, "orig_name": "secret.png", "meta": {"_type": "gradio.FileData"}}]
        body = {"data": data, "fn_index": event["id"], "session_hash": "intruder"}
        request = urllib.request.Request(
            f"{address}gradio_api/queue/join", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request):
            pass
        with urllib.request.urlopen(f"{address}gradio_api/queue/data?session_hash=intruder") as stream:
            told = stream.read().decode()
        assert "33 × 44" not in told
        assert "data:image" not in told
        assert '"success":false' in told
    assert secret.read_bytes() == buffer.getvalue()
    assert page.shown() == before


def test_the_disclaimer_stays_in_sight(page: Page) -> None:
    page.example(WHERE)
    page.wait_text("answer", "right middle zone")
    page.driver.set_window_size(1000, 500)
    try:
        page.driver.execute_script("window.scrollTo(0, document.body.scrollHeight)")
        banner = page.find("#disclaimer .disclaimer")
        assert DISCLAIMER in banner.text
        top, bottom = page.driver.execute_script(
            "const box = arguments[0].getBoundingClientRect(); return [box.top, box.bottom]", banner
        )
        assert page.driver.execute_script("return window.scrollY") > 100
        assert 0 <= top < bottom < 200
        # Nothing lies above it.
        assert page.driver.execute_script(
            "const box = arguments[0].getBoundingClientRect();"
            "return arguments[0].contains(document.elementFromPoint(box.left + 20, box.top + 5))",
            banner,
        )
    finally:
        page.driver.set_window_size(1280, 1400)


def test_hostile_texts_are_texts(page: Page) -> None:
    page.ask(HOSTILE)
    page.wait_text("answer", "<img src=x")
    page.find("#answer summary").click()
    page.fill("reference", HOSTILE)
    page.click("check")
    page.wait_for("#score .parts")
    page.click("reveal")
    page.wait_text("truth", "do not answer this question")
    assert page.driver.execute_script("return window.hacked === undefined")
    assert not page.driver.find_elements(By.CSS_SELECTOR, "img[src=x]")


def test_an_empty_question_is_said_readably(page: Page) -> None:
    page.ask("   ")
    page.wait_text("answer", "write a question first")


def test_the_page_asks_nothing_of_the_network_and_logs_no_errors(page: Page) -> None:
    loaded = page.driver.execute_script("return performance.getEntriesByType('resource').map(entry => entry.name)")
    assert loaded
    own = ("http://127.0.0.1", "http://localhost", "data:", "blob:")
    assert [name for name in loaded if not name.startswith(own)] == []
    # Gradio says of each stream that was open when the last test left its page that it was aborted.
    logged = [entry["message"] for entry in page.driver.get_log("browser") if entry["level"] == "SEVERE"]
    assert [message for message in logged if "AbortError" not in message] == []
