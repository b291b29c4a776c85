"""What `generate` prints of a finished scene."""

from __future__ import annotations

from apps.text3d.generate import Result, figures
from apps.text3d.judging import MEASURES
from common import ui
from common.files import read_json


def show(result: Result, remark: str, json_output: bool) -> None:
    """Print what the judge found and where the files lie."""
    folder = result.run.folder
    if json_output:
        ui.print_json(read_json(folder / "result.json") | {"folder": str(folder)})
        return
    told = figures(result.verdict)
    cells = ["–" if told[name] is None else f"{100 * told[name]:.0f}" for name in MEASURES]
    ui.table(
        result.prompt.text,
        [*(f"{name}s right, %" for name in MEASURES)],
        [cells],
        "Judged by the field's geometry, which no guidance sees." + (f" The scene is {remark}." if remark else ""),
    )
    for reason in result.verdict.reasons:
        ui.say(f"- {reason}")
    ui.say(f"scene.glb, scene.ply, turntable.mp4, sheet.png: {folder}")
