"""Takes the README's picture of the demo: `python -m tests.browser.screenshot [docs/images/text2sql-demo.png]`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from selenium.webdriver.support.ui import WebDriverWait

from apps.text2sql.config import Text2SqlConfig
from apps.text2sql.demo import build_workbench
from apps.text2sql.workbench import Workbench
from common.config import load
from tests.browser.pages import chromium, served

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
        height = driver.execute_script("return document.querySelector('.gradio-container').scrollHeight")
        driver.set_window_size(1280, min(2000, height + 40))
        driver.execute_script("document.activeElement.blur(); window.scrollTo(0, 0)")
        still = "return document.getAnimations().every(animation => animation.playState !== 'running')"
        WebDriverWait(driver, 10).until(lambda _: driver.execute_script(still))
        path.parent.mkdir(parents=True, exist_ok=True)
        driver.save_screenshot(str(path))


def main() -> None:
    """Photograph the shipped model at a German question that it answers right."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "images" / "text2sql-demo.png"
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


if __name__ == "__main__":
    main()
