"""The `score` verb: the configured reward, its parts and every question for the rows of a JSONL file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import DataError, UsageError
from common.files import append_jsonl, cut_unfinished, read_jsonl, write_text
from common.scored_rows import finite, tell, to_line

if TYPE_CHECKING:
    from apps.text3d.config import Text3dConfig
    from apps.text3d.reward_answers import Judged
    from apps.text3d.reward_rows import Row

Scored = dict[str, Any]


def run_score(config: Text3dConfig, pairs: str, out: str, json_output: bool = False) -> int:
    """Score the rows of `pairs` with the configured reward and write them to `out` in the same order.

    A row holds `prompt`, `image` or `images` (paths, absolute or relative to the file's folder) and, where known,
    `azimuths` (degrees, one for each picture; 0, the prompt's own side, where not given). It comes back with every
    field it had and `reward`, `parts`, `reason` and `questions`: what was asked, the answer that is right, and its
    log-odds. A row that cannot be used, a picture that cannot be read and a grader that fails give `reward: null` and
    the reason, never 0.

    What is scored lies in `OUT.part` until all is done: the same command goes on where it was stopped, and asks again
    where the grader had failed.

    Args:
        config: whose `reward` is used.
        pairs: JSONL file to read.
        out: JSONL file to write; written whole or not at all.
        json_output: print a JSON summary instead of a table.

    Raises:
        DataError: no such file, or a line that is no JSON object; named with its line.
        UsageError: a model cannot be opened, `out` is a folder, or `OUT.part` is of other settings.
    """
    from apps.text3d.rewards import build_reward
    from common import ui
    from common.training.run import set_threads

    if Path(out).is_dir():
        raise UsageError(f"--out {out} is a folder; name a file")
    path = Path(pairs)
    rows = dict(read_jsonl(path))
    journal = _Journal(Path(f"{out}.part"), _rules(config, path))
    left = [number for number in rows if number not in journal.done]
    if rows and len(left) < len(rows):
        ui.say(f"{len(rows) - len(left)} of {len(rows)} rows are scored already in {journal.path}")
    scored = dict(journal.done)
    failed: list[int] = []
    if left:
        set_threads(config.threads)
        reward = build_reward(config.reward)
        with ui.progress("scoring", len(left), json_output) as bar:
            for start in range(0, len(left), config.reward.batch_size):
                numbers = left[start : start + config.reward.batch_size]
                usable, found = _read({number: rows[number] for number in numbers}, path.parent)
                judged = dict(zip(usable, reward.judge(list(usable.values())), strict=True))
                found |= {number: _scored(one) for number, one in judged.items()}
                lost = [number for number, one in judged.items() if one.failed]
                journal.add({number: one for number, one in found.items() if number not in lost})
                failed += lost
                scored |= found
                bar(start + len(numbers))
    write_text(out, "".join(to_line({**row, **scored[number]}) for number, row in rows.items()))
    if failed:
        ui.warn(f"the grader failed on {len(failed)} rows; the same command asks it again about these alone")
    else:
        journal.path.unlink(missing_ok=True)
    told, more = {number: scored[number] for number in rows}, {"grader_failed": len(failed)}
    tell(told, out, json_output, f"{path}:", "not scored or not asked", more)
    return 0


class _Journal:
    """What was scored so far, a line a row, behind a line that says under which rules.

    Args:
        path: the file.
        rules: plain values that decide what any row comes to.

    Raises:
        UsageError: the file is of other rules.
    """

    def __init__(self, path: Path, rules: Mapping[str, Any]) -> None:
        self.path, self.rules = path, json.loads(json.dumps(rules))
        self.done: dict[int, Scored] = {}
        if not path.exists():
            return
        cut_unfinished(path)
        entries = [row for _, row in read_jsonl(path)]
        if entries and entries[0] != {"rules": self.rules}:
            raise UsageError(
                f"{path} holds rows that were scored from another file or with other settings; delete it, or name "
                "another --out"
            )
        self.done = {int(entry["line"]): entry["scored"] for entry in entries[1:]}

    def add(self, scored: Mapping[int, Scored]) -> None:
        """Keep rows, in one write."""
        begun = self.path.exists() and self.path.stat().st_size > 0
        head = [] if begun else [{"rules": self.rules}]
        append_jsonl(self.path, [*head, *({"line": number, "scored": one} for number, one in scored.items())])


def _rules(config: Text3dConfig, path: Path) -> dict[str, Any]:
    """What decides a row's score; not how many are scored at a time, and where."""
    reward = asdict(config.reward)
    for settings in (reward, reward["vlm"], reward["clip"]):
        for name in ("batch_size", "device"):
            settings.pop(name, None)
    return {"rows": sha256(path.read_bytes()).hexdigest(), "reward": reward}


def _read(rows: Mapping[int, Scored], folder: Path) -> tuple[dict[int, Row], dict[int, Scored]]:
    """The rows that can be judged, and the others with the reason."""
    from apps.text3d.reward_rows import read_row

    usable: dict[int, Row] = {}
    bad: dict[int, Scored] = {}
    for number, row in rows.items():
        try:
            usable[number] = read_row(row.get("prompt"), _images(row), row.get("azimuths"), folder)
        except DataError as error:
            bad[number] = {"reward": None, "parts": {}, "reason": str(error), "questions": []}
    return usable, bad


def _images(row: Scored) -> list[str]:
    """A row's pictures by name.

    Raises:
        DataError: there are none, or they are no names.
    """
    if "prompt" not in row:
        raise DataError(f"no field 'prompt'; found: {', '.join(sorted(row)) or 'none'}")
    given = [name for name in ("image", "images") if row.get(name) is not None]
    if len(given) != 1:
        raise DataError(f"a row needs one of 'image' and 'images'; this one has {' and '.join(given) or 'neither'}")
    value = row[given[0]]
    names = [value] if given[0] == "image" else value
    if not isinstance(names, list) or not names or not all(isinstance(one, str) and one.strip() for one in names):
        raise DataError(f"{given[0]!r} must hold {'a path' if given[0] == 'image' else 'a list of paths'}")
    return names


def _scored(judged: Judged) -> Scored:
    return {
        "reward": finite(round(judged.value, 6)),
        "parts": {name: finite(round(value, 6)) for name, value in judged.parts.items()},
        "reason": judged.reason,
        "questions": [answer.to_dict() for answer in judged.answers],
    }
