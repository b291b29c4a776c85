"""What a training shows at its end: the table in the terminal and `report.html` with every scene's pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from apps.text3d.judging import MEASURES
from apps.text3d.train import FIGURES, Made, Result
from common import ui
from common.files import write_json
from common.stats import Interval, bootstrap

if TYPE_CHECKING:
    from PIL.Image import Image

#: Height of a row of pictures, and the width of the prompt beside it, in pixels.
ROW, TEXT = 112, 230


def shares(scenes: Sequence[Made]) -> dict[str, Interval]:
    """Share of right facts by sort, and of scenes of which all is right, with their interval over prompts."""
    return {name: bootstrap([made.share(name) for made in scenes]) for name in FIGURES}


def show(result: Result, json_output: bool) -> None:
    """Print the shares, and where the report lies."""
    found = shares(result.scenes)
    if json_output:
        told = {name: share.to_dict() for name, share in found.items()}
        ui.print_json({"folder": str(result.run.folder), "right": told})
        return
    cells = [share.text(100, 1) if share.n else "–" for share in found.values()]
    words = f"{len(result.scenes)} prompts, by the field's geometry, which no guidance sees; 95 % bootstrap interval"
    ui.table("Right facts, %", list(found), [cells], words)
    ui.say(f"report: {result.run.folder / 'report.html'}")


def write_report(result: Result) -> Path:
    """`training.json` and the page of a run."""
    from common.plots import bars
    from common.report import Report

    found = shares(result.scenes)
    write_json(
        result.run.folder / "training.json",
        {
            "right": {name: share.to_dict() for name, share in found.items()},
            "scenes": [made.told["geometry"] | {"prompt": made.prompt} for made in result.scenes],
        },
    )
    report = Report("Text-to-3D: a prompt set", f"seed {result.run.seed}")
    report.section("Result")
    words = f"{len(result.scenes)} prompts, by the field's geometry, which no guidance sees; 95 % bootstrap interval"
    report.table(tuple(found), [[share.text(100, 1) if share.n else "–" for share in found.values()]], words)
    report.figure(bars(list(found), {"right": list(found.values())}, "right, %", 100), words)
    if note := next((made.told["note"] for made in result.scenes if made.told["note"]), ""):
        report.alarm(note)
    report.section("Scenes")
    for made in result.scenes:
        words = "; ".join(made.told["reasons"]) or "all right"
        if (made.folder / "sheet.png").is_file():
            report.image(made.folder / "sheet.png", words)
        else:
            report.text(f"{made.prompt}: {words}")
    report.section("Prompts")
    rows = [
        [made.prompt, *(_share(made.told["geometry"][name]) for name in MEASURES), made.told["steps"]]
        for made in result.scenes
    ]
    report.table(("prompt", *MEASURES, "steps"), rows)
    return report.save(result.run.folder / "report.html")


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.0f}"


def side_by_side(columns: Mapping[str, Sequence[Made]]) -> Image:
    """Every prompt's scenes from the prompt's own side, a column for each recipe."""
    from PIL import Image, ImageDraw, ImageFont

    prompts = [made.prompt for made in next(iter(columns.values()))]
    page = Image.new("RGB", (TEXT + ROW * len(columns), 18 + ROW * len(prompts)), "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(12.0)
    for at, (name, scenes) in enumerate(columns.items()):
        draw.text((TEXT + at * ROW + 3, 2), name, "black", font)
        for row, made in enumerate(scenes):
            front = made.folder / "views" / "00.png"
            if not front.is_file():
                continue
            with Image.open(front) as picture:
                page.paste(picture.convert("RGB").resize((ROW, ROW)), (TEXT + at * ROW, 18 + row * ROW))
    for row, prompt in enumerate(prompts):
        draw.multiline_text((4, 22 + row * ROW), _wrapped(prompt, 34), "black", font)
    return page


def _wrapped(text: str, width: int) -> str:
    import textwrap

    return textwrap.fill(text, width)
