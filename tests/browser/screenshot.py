"""Photographs the demos: `python -m tests.browser.screenshot [text2sql|captioning|medvqa|driving|text3d] [FILE.png]`.

Without an app it is text2sql, without a file `docs/images/<app>-demo.png`.
"""

from __future__ import annotations

import random
import sys
import tempfile
from pathlib import Path
from typing import Any

from selenium.webdriver.support.ui import WebDriverWait

from apps.text2sql.config import Text2SqlConfig
from apps.text2sql.demo import build_workbench
from apps.text2sql.workbench import Workbench
from common.config import load
from tests.browser.pages import chromium, served, serving

ROOT = Path(__file__).resolve().parents[2]


def take(workbench: Workbench, path: Path, question: str, edited: str) -> None:
    """Ask, edit, check, and photograph the page."""
    from tests.browser.test_text2sql_demo import Page

    with served(workbench) as address, tempfile.TemporaryDirectory() as folder, chromium(Path(folder)) as driver:
        page = Page(driver, address)
        page.ask(question)
        page.wait_text("agreement", "samples")
        page.edit("edited", edited)
        page.click("check")
        page.wait_text("parts", "reward")
        page.wait_text("edited-rows", "Result")
        photograph(driver, path)


def photograph(driver: Any, path: Path) -> None:
    """The whole page, once nothing on it moves."""
    height = driver.execute_script("return document.querySelector('.gradio-container').scrollHeight")
    # A window is taller than the page in it.
    frame = driver.execute_script("return window.outerHeight - window.innerHeight")
    driver.set_window_size(1280, min(2000, height + frame + 40))
    driver.execute_script("document.activeElement.blur(); window.scrollTo(0, 0)")
    still = "return document.getAnimations().every(animation => animation.playState !== 'running')"
    WebDriverWait(driver, 10).until(lambda _: driver.execute_script(still))
    path.parent.mkdir(parents=True, exist_ok=True)
    driver.save_screenshot(str(path))


def text2sql(path: Path) -> None:
    """Photograph the shipped model at a German question that it answers right."""
    workbench = build_workbench(load(Text2SqlConfig, ROOT / "configs" / "text2sql" / "pocket.yaml"))
    with workbench.judge:
        for name, database in workbench.databases.items():
            question = next(question for language, question in workbench.questions(name) if language == "Deutsch")
            gold = workbench.gold(name, question)
            if ">" not in gold:
                continue
            best = workbench.ask(question, str(database)).best
            if best and workbench.assay(best.sql, gold, question, str(database)).verdict == "correct":
                # The page opens with the first database of its list.
                workbench.databases = {name: database, **workbench.databases}
                take(workbench, path, question, best.sql.replace(">", "<", 1))
                return
    sys.exit("the model answers none of the German example questions")


def captioning(path: Path) -> None:
    """Photograph the shipped captioner at a held-out scene that it tells right and its initialisation does not.

    The visitor's caption is one with a wrong fact.
    """
    from apps.captioning.config import CaptioningConfig
    from apps.captioning.demo import build_workbench
    from apps.captioning.measures.facts import compare
    from apps.captioning.pocket.grammar import write
    from apps.captioning.pocket.mutations import mutate
    from apps.captioning.pocket.render import draw
    from apps.captioning.pocket.scene import sample_scene
    from apps.captioning.workbench import INITIAL, TRAINED

    workbench = build_workbench(load(CaptioningConfig, ROOT / "configs" / "captioning" / "pocket.yaml"))
    if INITIAL not in workbench.assistants:
        sys.exit("the captioner's initialisation does not lie beside it")
    rng = random.Random(0)
    for _ in range(300):
        scene = sample_scene(rng, True)
        found = workbench.captions(workbench.see(draw(scene)), 5)
        before, after = (compare(found[name].text, scene) for name in (INITIAL, TRAINED))
        if scene.relation and after.exact and before.grammatical and not before.exact:
            take_captioning(workbench, path, scene, write(scene, rng), write(mutate(scene, rng), rng))
            return
    sys.exit("the captioner and its initialisation differ on none of 300 held-out scenes in the way to be shown")


def take_captioning(workbench: Any, path: Path, scene: Any, sentence: str, own: str) -> None:
    """Draw a scene, check a caption of the visitor's, and photograph the page."""
    from apps.captioning.demo import PAGE, build_page
    from tests.browser.test_captioning_demo import Page

    # The page draws a sentence in a new way each time; the photograph is of one certain picture.
    workbench.scene_of = lambda _: scene
    blocks = build_page(workbench)
    with serving(blocks, PAGE) as address, tempfile.TemporaryDirectory() as folder, chromium(Path(folder)) as driver:
        page = Page(driver, address)
        page.draw(sentence)
        page.wait_text("captions", "Exactly right")
        page.fill("own", own)
        page.click("check")
        page.wait_text("rewards", "your caption")
        photograph(driver, path)


def medvqa(path: Path) -> None:
    """Photograph the shipped model at a chest film with a held-out finding that it places exactly right.

    The visitor's reference says the same in other words.
    """
    from apps.medvqa.config import MedVqaConfig
    from apps.medvqa.demo import PAGE, build_page, build_workbench
    from apps.medvqa.workbench import make_phantom, random_wish
    from tests.browser.test_medvqa_demo import Page

    workbench = build_workbench(load(MedVqaConfig, ROOT / "configs" / "medvqa" / "pocket.yaml"))
    rng = random.Random(0)
    films = (wish for wish in (random_wish(held=True, rng=rng) for _ in range(2000)) if wish.organ == "chest")
    for wish in films:
        view, study = make_phantom(wish)
        question = f"Where is the {wish.finding}?"
        answer = workbench.ask(question, view)
        reference = f"{wish.zone} on the {wish.side}"
        exact = workbench.truth(study, question, answer).right
        if wish.side and wish.zone and wish.count == 1 and exact and workbench.score(answer, reference).correct:
            break
    else:
        sys.exit("the model places the finding of none of the held-out chest films exactly right")
    blocks = build_page(workbench)
    with serving(blocks, PAGE) as address, tempfile.TemporaryDirectory() as folder, chromium(Path(folder)) as driver:
        page = Page(driver, address)
        page.wish(wish)
        page.example(question)
        page.wait_text("answer", answer.text)
        page.fill("reference", reference)
        page.click("check")
        page.wait_text("score", "Counts as correct")
        page.click("reveal")
        page.wait_text("truth", "Exactly correct")
        photograph(driver, path)


def driving(path: Path) -> None:
    """Photograph a drive through the town among others, at the moment that its own goals find most dangerous."""
    from apps.driving.config import DrivingConfig
    from apps.driving.demo import PAGE, build_page, build_workbench
    from tests.browser.test_driving_demo import DemoPage

    workbench = build_workbench(load(DrivingConfig, ROOT / "configs" / "driving" / "pocket.yaml"))
    if workbench.sight is None:
        sys.exit(f"the language goals are off: {workbench.blind}")
    blocks = build_page(workbench)
    with serving(blocks, PAGE) as address, tempfile.TemporaryDirectory() as folder, chromium(Path(folder)) as driver:
        page = DemoPage(driver, address)
        page.number("vehicles", 25)
        page.drive()
        page.find("#goals [data-seek]").click()
        page.fill("positive", "the car keeps its lane")
        page.fill("negative", "the car has left its lane")
        page.click("compare")
        page.wait_text("goals", "the reward's own")
        photograph(driver, path)


def text3d(path: Path) -> None:
    """Photograph a scene that the shipped configuration shapes, whole: about two minutes on a free core."""
    from apps.text3d.config import Text3dConfig
    from apps.text3d.demo import PAGE, build_page
    from apps.text3d.demo_wishes import EXAMPLES
    from apps.text3d.workbench import Workbench
    from common.training.run import set_threads
    from tests.browser.test_text3d_demo import DemoPage

    config = load(Text3dConfig, ROOT / "configs" / "text3d" / "pocket.yaml")
    set_threads(config.threads)
    blocks = build_page(Workbench(config))
    with serving(blocks, PAGE) as address, tempfile.TemporaryDirectory() as folder, chromium(Path(folder)) as driver:
        page = DemoPage(driver, address, 3600)
        page.fill("prompt", EXAMPLES[0])
        page.shape()
        page.wait_model()
        # The film runs; its first picture is the prompt's own side.
        page.read("const film = document.querySelector('#film video'); film.pause(); film.currentTime = 0")
        page.wait.until(lambda _: page.read("return !document.querySelector('#film video').seeking"))
        photograph(driver, path)


def main() -> None:
    """Photograph the demo that is named."""
    arguments = sys.argv[1:]
    app = arguments.pop(0) if arguments and arguments[0] in PHOTOGRAPHERS else "text2sql"
    path = Path(arguments[0]) if arguments else ROOT / "docs" / "images" / f"{app}-demo.png"
    PHOTOGRAPHERS[app](path)


PHOTOGRAPHERS = {
    "text2sql": text2sql,
    "captioning": captioning,
    "medvqa": medvqa,
    "driving": driving,
    "text3d": text3d,
}


if __name__ == "__main__":
    main()
