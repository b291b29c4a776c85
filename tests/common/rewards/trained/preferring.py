"""A small world of preferences with a known rule: the answer that names the asked-for colour is the better one."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

COLOURS = ("red", "blue", "green", "black", "white", "yellow")
THINGS = ("ball", "car", "cup", "door", "hat", "kite", "lamp", "shoe", "star", "tree")
FILLER = "as anyone can see who looks at it"


def rows(count: int, seed: int = 0, labels: bool = True) -> list[dict[str, Any]]:
    """Pairs whose right answer is in half of them the shorter one; several pairs share a prompt."""
    rng = random.Random(seed)
    found = []
    for number in range(count):
        colour, thing = rng.choice(COLOURS), f"{rng.choice(THINGS)} {number // 2}"
        other = rng.choice([one for one in COLOURS if one != colour])
        wordy = [rng.random() < 0.5, rng.random() < 0.5]
        texts = [
            f"it is {one}" + (f", {FILLER}" if more else "") for one, more in zip((colour, other), wordy, strict=True)
        ]
        row: dict[str, Any] = {
            "prompt": f"which of the two is right of the {colour} {thing}",
            "chosen": texts[0],
            "rejected": texts[1],
            "reference": f"it is {colour}",
        }
        if labels:
            row |= {"chosen_correct": 1, "rejected_correct": 0}
            row |= {"chosen_verbose": int(wordy[0]), "rejected_verbose": int(wordy[1])}
        found.append(row)
    return found


def write(path: Path, several: list[Any]) -> Path:
    """Rows as JSONL; a text is a line as it is."""
    lines = [row if isinstance(row, str) else json.dumps(row) for row in several]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
