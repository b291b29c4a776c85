"""The driving demo as a visitor sees it: real browser, real drives of a few seconds, a tiny random CLIP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("gradio")
pytest.importorskip("selenium")

from selenium.webdriver.common.by import By

from apps.driving.demo import PAGE, build_page
from tests.apps.driving.demo_parts import SHORT, blind_workbench, seeing_workbench
from tests.browser.pages import Page, serving

pytestmark = pytest.mark.browser

STEPS = round(SHORT / 0.1)
HOSTILE = "<img src=x onerror='window.hacked=1'>${window.hacked=2}{{1+1}}"


class DemoPage(Page):
    """The demo in a browser."""

    def __init__(self, driver: Any, address: str) -> None:
        super().__init__(driver, address)
        self.wait_film()

    def wait_film(self) -> None:
        """Until a drive is over, and all that is plotted of it is there."""
        found = "return !!document.querySelector('.film[data-frames]') && !!document.querySelector('#curves .plot')"
        self.wait.until(lambda _: self.read(found), "there was never a film")

    def click(self, name: str) -> None:
        self.find(f"#{name}").click()

    def choose(self, name: str, label: str) -> None:
        """An entry of a menu, by what it says."""
        self.find(f"#{name} input").click()
        entry = f"//ul[@role='listbox']//li[starts-with(@aria-label, '{label}')]"
        self.wait.until(lambda _: self.driver.find_elements(By.XPATH, entry), f"{name} never offered {label}")[
            0
        ].click()

    def chosen(self, name: str) -> str:
        return self.read("return document.querySelector(`#${arguments[0]} :is(textarea, input)`).value", name)

    def drive(self) -> None:
        """Have it driven, and wait until the new film is there."""
        self.read("document.querySelector('.film')?.setAttribute('data-old', '')")
        self.click("drive")
        fresh = "return !!document.querySelector('.film[data-frames]:not([data-old])')"
        self.wait.until(lambda _: self.read(fresh), "the new film never came")

    def seek(self, step: int) -> None:
        self.read(
            "const bar = document.querySelector('.scrub'); bar.value = arguments[0];"
            "bar.dispatchEvent(new Event('input', {bubbles: true}))",
            step,
        )

    def now(self) -> float:
        return float(self.read("return document.documentElement.style.getPropertyValue('--now') || 0"))

    def clock(self) -> str:
        return self.text("film").split("Play\n")[-1].split("\n")[0]

    def plotted(self, within: str, title: str) -> dict[str, Any]:
        """Values and shown numbers of a plot."""
        return self.read(
            "const plot = [...document.querySelectorAll(`#${arguments[0]} .plot`)].find("
            "one => one.querySelector('.name').textContent.startsWith(arguments[1]));"
            "return plot && {values: JSON.parse(plot.dataset.values),"
            " shown: [...plot.querySelectorAll('output')].map(one => one.textContent),"
            " marker: plot.querySelector('.now').getBoundingClientRect().left"
            " - plot.querySelector('.area').getBoundingClientRect().left,"
            " width: plot.querySelector('.area').getBoundingClientRect().width}",
            within,
            title,
        )


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(build_page(seeing_workbench(tmp_path_factory.mktemp("sees"))), PAGE) as url:
        yield url


@pytest.fixture(scope="module")
def page(driver: Any, address: str) -> DemoPage:
    return DemoPage(driver, address)


def test_the_page_opens_with_a_drive_and_says_what_it_is_of(page: DemoPage) -> None:
    assert "embedded simulator" in page.text("phantom")
    assert "CARLA" in page.text("phantom")
    assert "The time was up" in page.text("film")
    assert "pocket (trained, shipped) drove" in page.text("film")
    assert page.read("return document.querySelector('.film img').naturalWidth") > 200
    for title in ("Reward: vlm_rl", "Speed", "Offset", "speed factor", "goal c"):
        assert len(page.plotted("curves", title)["values"][0]) == STEPS
    assert len(page.plotted("goals", "z")["values"][0]) == STEPS


def test_film_marker_and_numbers_go_together(page: DemoPage) -> None:
    page.seek(0)
    first = page.read("return document.querySelector('.film img').src")
    page.seek(STEPS - 1)
    assert page.now() == 1.0
    assert page.read("return document.querySelector('.film img').src") != first
    page.seek(20)
    assert page.clock() == "2.1 s"
    for within, title in (("curves", "Speed"), ("curves", "Reward"), ("goals", "z")):
        plot = page.plotted(within, title)
        assert [float(one) for one in plot["shown"]] == [line[20] for line in plot["values"]]
        assert plot["marker"] == pytest.approx(plot["width"] * 20 / (STEPS - 1), abs=4)


def test_a_click_in_a_plot_is_a_moment_of_the_film(page: DemoPage) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    page.seek(0)
    area = page.find("#curves .plot .area")
    ActionChains(page.driver).move_to_element(area).click().perform()
    assert page.now() == pytest.approx(0.5, abs=0.05)


def test_the_film_plays_to_its_end(page: DemoPage) -> None:
    page.seek(STEPS - 6)
    play = page.find(".film .play")
    play.click()
    page.wait.until(lambda _: page.now() == 1.0, "it never came to its end")
    page.wait.until(lambda _: play.text == "Play")


def test_another_reward_is_plotted_under_the_same_film(page: DemoPage) -> None:
    page.seek(10)
    film = page.read("return document.querySelector('.film img').src")
    page.choose("recipe", "roach")
    page.wait_text("curves", "roach paid")
    page.wait.until(lambda _: page.plotted("curves", "rotation"))
    assert page.read("return document.querySelector('.film img').src") == film
    speed = page.plotted("curves", "Speed")
    page.wait.until(lambda _: page.plotted("curves", "Speed")["shown"][0] == f"{speed['values'][0][10]:.1f}")
    page.choose("recipe", "vlm_rl")
    page.wait_text("curves", "vlm_rl paid")


def test_other_goals_change_z_on_the_same_pictures(page: DemoPage) -> None:
    film = page.read("return document.querySelector('.film').dataset.frames")
    page.wait_text("goals", "c: 1 safe")
    own = page.plotted("goals", "z")["values"][0]
    page.fill("positive", "the car keeps its lane")
    page.fill("negative", "a banana has left its lane")
    page.click("compare")
    page.wait_text("goals", "a banana has left its lane")
    plot = page.plotted("goals", "z")
    assert plot["values"][1] == own
    assert plot["values"][0] != own
    assert "Words it never heard: banana." in page.text("goals")
    assert "there is no c" in page.text("goals")
    assert page.read("return document.querySelector('.film').dataset.frames") == film
    page.find("#goals [data-seek]").click()
    peak = max(plot["values"][0])
    assert float(page.plotted("goals", "z")["shown"][0]) == pytest.approx(peak, abs=2e-3)


def test_goals_that_are_none_are_said_readably(page: DemoPage) -> None:
    for positive, negative, told in (
        ("  ", "a crash", "write what the road should look like first"),
        ("a crash", "A crash", "both goals are the same"),
    ):
        page.fill("positive", positive)
        page.fill("negative", negative)
        page.click("compare")
        page.wait_text("remark", told)


def test_a_pair_of_goals_is_taken_by_a_click(page: DemoPage) -> None:
    buttons = "[...document.querySelectorAll('#examples button')]"
    page.read(f"{buttons}.find(one => one.innerText.trim() === arguments[0]).click()", "the car is a wrong-way driver")
    page.wait.until(lambda _: page.chosen("positive") == "the car drives along its route")
    page.wait_text("goals", "the car is a wrong-way driver")
    assert page.text("remark") == ""


def test_town_route_traffic_and_driver_are_those_chosen(page: DemoPage) -> None:
    page.choose("town", "village (held out")
    page.wait.until(lambda _: page.chosen("route").startswith("village-"), "the routes never followed the town")
    page.choose("route", "village-0-002")
    page.choose("policy", "random")
    page.number("vehicles", 3)
    page.number("walkers", 1)
    page.drive()
    assert "random drove" in page.text("film")
    assert "village-0-002" in page.text("film")
    assert "3 other cars and 1 person on foot" in page.text("film")
    page.wait.until(lambda _: page.now() == 0.0, "a new film does not begin at its beginning")
    # Where a page's parts are used again, nothing of the film before may stay.
    page.seek(7)
    for within, title in (("curves", "Speed"), ("curves", "goal c"), ("goals", "z")):
        plot = page.plotted(within, title)
        assert [float(one) for one in plot["shown"]] == [line[min(7, len(line) - 1)] for line in plot["values"]]


def test_a_wrong_seed_is_said_readably_and_the_film_stays(page: DemoPage) -> None:
    before = page.text("film")
    page.number("seed", -1)
    page.click("drive")
    page.wait_text("message", "the seed is -1; give a whole number from 0 to 1,000,000")
    assert page.text("film") == before
    page.number("seed", 5)
    page.drive()
    assert page.text("message") == ""


def test_hostile_texts_are_texts(page: DemoPage) -> None:
    page.fill("positive", HOSTILE)
    page.fill("negative", "a crash")
    page.click("compare")
    page.wait_text("goals", "<img src=x")
    assert page.read("return window.hacked === undefined")
    assert not page.driver.find_elements(By.CSS_SELECTOR, "img[src=x]")


def test_the_page_asks_nothing_of_the_network(page: DemoPage) -> None:
    loaded = page.read("return performance.getEntriesByType('resource').map(entry => entry.name)")
    assert loaded
    own = ("http://127.0.0.1", "http://localhost", "data:", "blob:")
    assert [name for name in loaded if not name.startswith(own)] == []


def test_the_script_made_no_mistake(page: DemoPage) -> None:
    page.driver.get_log("browser")
    page.seek(3)
    page.find(".film .play").click()
    page.find(".film .play").click()
    severe = [entry["message"] for entry in page.driver.get_log("browser") if entry["level"] == "SEVERE"]
    assert severe == []


def test_without_a_clip_all_else_works_and_the_page_says_how_to_make_one(driver: Any, tmp_path: Any) -> None:
    with serving(build_page(blind_workbench(tmp_path)), PAGE) as address:
        page = DemoPage(driver, address)
        assert "python -m apps.driving pretrain" in page.text("blind")
        assert "vlm_rl_no_clip paid" in page.text("curves")
        assert page.text("goals") == ""
        assert not page.driver.find_elements(By.CSS_SELECTOR, "#compare")
        page.drive()
        page.seek(STEPS - 1)
        assert page.now() == 1.0
