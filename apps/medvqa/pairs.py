"""`pairs`: preference pairs out of questions with a known answer, for `python -m common.rewards train`.

The chosen completion says the right answer, the rejected one the same answer with one fact changed (see
`auditing.mutations`). Each is said barely, in a sentence or with padding, drawn apart, so that length says nothing of
which is right.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.medvqa.auditing.rewordings import framed, padded
from apps.medvqa.auditing.told import Said, Told
from common.errors import UsageError
from common.files import write_bytes, write_jsonl

if TYPE_CHECKING:
    from apps.medvqa.auditing.subjects import Made
    from apps.medvqa.config import MedVqaConfig
    from apps.medvqa.data import Example
    from common.pictures import Source

Row = dict[str, Any]
#: How an answer may be said, and how often: barely is as frequent as with more words.
SAYINGS: tuple[Callable[[Told, random.Random], Said] | None, ...] = (None, framed, padded)
WEIGHTS = (2, 1, 1)


def run_pairs(config: MedVqaConfig, out: str, rows: int = 400, each: int = 3, json_output: bool = False) -> int:
    """Write `OUT/pairs.jsonl` and the pictures that are in no file yet.

    A row holds `prompt` (a conversation), `chosen` and `rejected` (the answer in its tags, without a thought: one that
    fits the right answer would give the wrong one away), `images`, `reference`, `group` (the study), `operator` (the
    fact that was changed) and the labels `correct` and `verbosity`.

    Args:
        config: whose `train` questions are taken, asked as `prompt` says.
        out: folder to write to.
        rows: questions; 0 takes all.
        each: most pairs of a question.
        json_output: print JSON.

    Raises:
        DataError: the questions cannot be read or have no answers.
        UsageError: a number is too small, or `out` is a file.
    """
    from common import ui

    if rows < 0 or each < 1:
        raise UsageError(f"--rows {rows}, --each {each}: 0 or more questions, 1 pair or more of each")
    if Path(out).is_file():
        raise UsageError(f"--out {out} is a file; name a folder")
    found = make_pairs(config, Path(out), rows, each, json_output)
    file = write_jsonl(Path(out) / "pairs.jsonl", found)
    kinds = Counter(row["operator"] for row in found)
    shorter = sum(len(row["chosen"][0]["content"]) < len(row["rejected"][0]["content"]) for row in found)
    if json_output:
        told = {"pairs": len(found), "chosen_is_shorter": shorter, "operators": kinds, "out": str(file)}
        ui.print_json(told)
        return 0
    table = [[name, count] for name, count in kinds.most_common()]
    caption = f"{len(found)} pairs in {file}; the chosen one is the shorter in {shorter}"
    ui.table("Preference pairs", ("changed in the rejected answer", "pairs"), table, caption=caption)
    ui.say(f"go on with: python -m common.rewards train --pairs {file}")
    return 0


def make_pairs(config: MedVqaConfig, folder: Path, rows: int, each: int, quiet: bool = False) -> list[Row]:
    """The rows; their pictures are written into `folder`."""
    from dataclasses import replace

    from apps.medvqa.auditing.subjects import facts, subjects
    from apps.medvqa.data import load_examples
    from apps.medvqa.prompts import messages
    from common.ui import progress

    data = replace(config.train, limit=rows or config.train.limit)
    those = subjects(load_examples(data), "answer", config.seed)
    wrong: dict[int, list[Made]] = {}
    for one in facts(those, config.seed):
        if not one.right:
            wrong.setdefault(one.row, []).append(one)
    found: list[Row] = []
    with progress("pairs", len(wrong), quiet) as bar:
        for row, made in sorted(wrong.items()):
            example = those.examples[row]
            rng = random.Random(f"pairs/{config.seed}/{example.id}")
            images = _images(example, folder)
            for one in rng.sample(made, min(each, len(made))):
                chosen, wordy = _said(those.told[row], example.answer, rng)
                rejected, wordier = _said(those.told[row], one.said.answer, rng)
                found.append(
                    {
                        "prompt": messages(example, config.prompt.style),
                        "chosen": _message(chosen),
                        "rejected": _message(rejected),
                        "images": images,
                        "reference": list(example.references),
                        "group": example.study or example.id,
                        "operator": one.operator,
                        **{"chosen_correct": 1, "rejected_correct": 0},
                        **{"chosen_verbosity": int(wordy), "rejected_verbosity": int(wordier)},
                    }
                )
            bar.advance()
    return found


def _said(told: Told, answer: str, rng: random.Random) -> tuple[str, bool]:
    """An answer in one of `SAYINGS`, and whether with more words than it needs."""
    saying = rng.choices(SAYINGS, WEIGHTS)[0]
    said = Said(answer) if saying is None else saying(Told(answer, told.question, told.question_type), rng)
    return f"<answer>{said.answer}</answer>", saying is not None


def _message(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def _images(example: Example, folder: Path) -> list[str]:
    """The pictures as paths; one that is in no file becomes a PNG in `folder`."""
    return [_file(picture, folder, f"{example.id}-{at}") for at, picture in enumerate(example.pictures)]


def _file(picture: Source, folder: Path, name: str) -> str:
    from io import BytesIO

    from common.pictures import load_any

    if isinstance(picture, (str, Path)):
        return str(Path(picture).resolve())
    safe = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in name)
    data = BytesIO()
    load_any(picture).save(data, "PNG")
    write_bytes(folder / "images" / f"{safe}.png", data.getvalue())
    return f"images/{safe}.png"
