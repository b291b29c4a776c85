"""What `generate` prints of a finished scene."""

from __future__ import annotations

from pathlib import Path

from apps.text3d.judging import MEASURES
from common import ui
from common.files import read_json


def show(folder: Path, remark: str, json_output: bool) -> None:
    """Print what the judge found and where the files lie, of a run's folder with `result.json`."""
    told = read_json(folder / "result.json")
    if json_output:
        ui.print_json(told | {"folder": str(folder)})
        return
    shares = [told["geometry"][name] for name in MEASURES]
    ui.table(
        told["prompt"],
        [*(f"{name}s right, %" for name in MEASURES)],
        [["–" if share is None else f"{100 * share:.0f}" for share in shares]],
        "Judged by the field's geometry, which no guidance sees." + (f" The scene is {remark}." if remark else ""),
    )
    for reason in told["reasons"]:
        ui.say(f"- {reason}")
    if chosen := told.get("best_of"):
        scores = ", ".join(f"{name} {'–' if one is None else f'{one:.3f}'}" for name, one in chosen["scores"].items())
        ui.say(f"{chosen['picked']} of {len(chosen['scores'])}, by {chosen['by']}: {scores}")
    ui.say(f"scene.glb, scene.ply, scene.safetensors, turntable.mp4, sheet.png: {folder}")
