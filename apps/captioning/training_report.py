"""What a training run shows at its end: the before/after table in the terminal and the run's report."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.captioning.measures.evaluation import SCALES, WORDS, Evaluation, compare
from apps.captioning.train_config import PAID
from common import ui
from common.report import Change, Report
from common.training import outcome

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from apps.captioning.data import Example
    from apps.captioning.train import Result

CURVES = {
    "reward": "reward of sampled captions",
    "validation/selected": "reward of greedy captions, validation",
    "validation/held_out_clip": "cosine under the held-out CLIP, validation",
    "length": "tokens a caption",
    "distinct": "distinct captions, share",
    "repeated": "repeated trigrams, share",
    "unterminated": "captions without an end, share",
    "discriminator/accuracy": "discriminator's accuracy",
    "gradient": "gradient norm",
}
SUBSETS = {"all": None, "held-out combinations": True, "seen combinations": False}


def changes(result: Result, measure: str = "exact") -> list[Change]:
    """Before, after and paired difference of one measure: all pictures, and by whether their combinations are new."""
    parts = {name: held for name, held in SUBSETS.items() if _any(result.after, measure, held)}
    if len(parts) == 2:
        # All pictures are of one sort, so that a part says what the whole says.
        parts = {"all": None}
    return [
        Change(
            name,
            result.before.interval(measure, held),
            result.after.interval(measure, held),
            compare(result.before, result.after, measure, held).difference,
        )
        for name, held in parts.items()
    ]


def gain(result: Result, measure: str = "exact", held: bool | None = None) -> float:
    """Mean gain of one measure."""
    return compare(result.before, result.after, measure, held).difference.mean


def headline(evaluation: Evaluation) -> str:
    """The measure that stands first: the exact scene where the world knows it, else what was measured first."""
    return evaluation.names[0]


def show(result: Result, json_output: bool) -> None:
    """Print the before/after table, or the same as JSON."""
    names = [name for name in result.after.names if name in SCALES]
    if json_output:
        outcome.print_json(result.run, {name: outcome.plain(changes(result, name)) for name in names})
        return
    rows = [
        (WORDS[name], row.name, *(_text(value, SCALES[name]) for value in (row.before, row.after, row.difference)))
        for name in names
        for row in (changes(result, name) if name == headline(result.after) else changes(result, name)[:1])
    ]
    caption = f"{len(result.after.items)} held-out pictures, greedy captions; brackets: 95 % bootstrap interval"
    ui.table("Captions before and after", ("measure", "pictures", "before", "after", "difference"), rows, caption)
    outcome.print_places(result.run)


def write_report(result: Result, examples: Sequence[Example]) -> Path:
    """`report.html` of a run: headline table, pictures with captions before and after, curves, settings.

    Args:
        result: the run.
        examples: the held-out pictures, in the order they were measured in.
    """
    run = result.run
    main = headline(result.after)
    report = Report("Captioning without paired data", f"{_paid(run.config['reward'])}, seed {run.seed}")
    report.section("Before and after")
    count = len(result.after.items)
    report.headline(
        changes(result, main),
        SCALES.get(main, 1.0),
        caption=f"{WORDS.get(main, main)}; {count} held-out pictures. {_between(run.config)}",
    )
    rows = [
        (WORDS.get(name, name), *(_text(getattr(row, end), SCALES.get(name, 1.0)) for end in _ENDS))
        for name in result.after.names
        for row in changes(result, name)[:1]
    ]
    report.table(
        ("measure", "before", "after", "difference"), rows, "All held-out pictures, 95 % bootstrap intervals."
    )
    for line in outcome.alarms(run):
        report.alarm(line)
    report.section("Pictures and captions")
    report.figure(
        contact_sheet(result, examples), "Upper line: before. Lower line: after. ✓ the whole scene is right."
    )
    teaching = {"loss": "cross-entropy (nats a token)", **CURVES}
    outcome.add_curves(report, run, "init", "Text-only initialisation", teaching)
    outcome.add_curves(report, run, "rl", "Reinforcement", CURVES)
    return outcome.finish(report, run, "rl", "What the captioner tried last")


def contact_sheet(result: Result, examples: Sequence[Example], columns: int = 4, count: int = 16) -> Figure:
    """Pictures with their captions before and after; those whose caption changed come first.

    Args:
        result: the run.
        examples: the held-out pictures, in the order they were measured in.
        columns: pictures in a row.
        count: pictures at most.
    """
    import textwrap

    from matplotlib.figure import Figure

    pairs = list(zip(examples, result.before.items, result.after.items, strict=True))
    changed = [pair for pair in pairs if pair[1].caption != pair[2].caption]
    step = max(1, len(changed) // count)
    shown = (changed[::step] or pairs)[:count]
    rows = math.ceil(len(shown) / columns)
    figure = Figure(figsize=(3.1 * columns, 3.3 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.axis("off")
    for axes, (example, before, after) in zip(grid, shown, strict=False):
        axes.imshow(example.picture(), interpolation="nearest")
        lines = [_mark(item.scores.get("exact")) + item.caption for item in (before, after)]
        text = "\n".join(textwrap.fill(line, 38, subsequent_indent="   ") for line in lines)
        # What a captioner says between two dollar signs is no formula.
        axes.set_title(text, fontsize=7.5, loc="left", y=-0.03, pad=0, va="top", parse_math=False)
    return figure


_ENDS = ("before", "after", "difference")


def _between(config: dict[str, Any]) -> str:
    """What happened between the two measurements."""
    init, loaded = config["init"], config["captioner"]["path"] or config["init"]["path"]
    done = [f"{init['further']} steps on text alone"] if loaded and init["further"] else []
    done += ["alignment of pictures with the corpus"] if config["captioner"]["align"] else []
    done += [f"{config['rl']['steps']} steps of reinforcement"] if config["rl"]["steps"] else []
    return f"Between before and after: {', then '.join(done) or 'nothing'}."


def _mark(exact: float | None) -> str:
    return "" if exact is None else ("✓ " if exact else "✗ ")


def _paid(reward: dict[str, Any]) -> str:
    if reward.get("own"):
        return str(reward["own"]["name"])
    return " + ".join(f"{reward[name]:g} {name}" for name in PAID if reward.get(name)) or "no reward"


def _any(evaluation: Evaluation, measure: str, held: bool | None) -> bool:
    return any(not math.isnan(value) for value in evaluation.values(measure, held))


def _text(value: Any, scale: float) -> str:
    return "–" if value is None else value.text(scale, 1 if scale == 100 else 3)
