"""What `train` tells: a table in the terminal, and a page with plots."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.rewards.trained.figures import LEARNED
from common.stats import Interval

if TYPE_CHECKING:
    from common.rewards.trained.config import TrainRewardConfig
    from common.rewards.trained.preferences import Preference
    from common.rewards.trained.train import Trained

HEADERS = ("", "right", "chosen is shorter", "chosen is longer", "correlation with length")
#: Mistakes that are shown.
SHOWN = 12


def tell(done: Trained, json_output: bool) -> None:
    """Print the figures."""
    from common import ui

    figures = done.figures
    if json_output:
        told = {"run": str(done.run.folder), "reward": str(done.folder), **figures.to_dict()}
        ui.print_json({**told, "calibration": done.calibration.to_dict()})
        return
    rows = [
        [one.name, *(part.text(100, 1) for part in (one.all, one.shorter, one.longer)), one.length.text(1, 2)]
        for one in figures.accuracies
    ]
    title = f"Pairs in order, % with 95 % intervals: {figures.pairs} held-out pairs of {figures.prompts} prompts"
    ui.table(title, HEADERS, rows, caption=_over_length(done))
    ui.table(
        "Linear probes of the features, % right with 95 % intervals",
        ("dimension", "right", "majority", "AUC", "fitted on"),
        [[one.name, one.accuracy.text(100, 1), 100 * one.majority, one.auc, one.trained] for one in figures.probes],
    )


def write_report(done: Trained, config: TrainRewardConfig) -> Path:
    """Write `report.html` into the run's folder."""
    from common.report import Report, bars, curves

    figures = done.figures
    counts = [len(part) for part in (done.split.train, done.split.validation, done.split.test)]
    report = Report(
        "A learned reward",
        f"{len(done.preferences.rows)} preference pairs: {counts[0]} trained on, {counts[1]} watching, "
        f"{counts[2]} held out; no prompt is in two of these",
    )
    for note in done.preferences.notes():
        report.text(f"*{note}.*")
    report.section("Pairs in order")
    report.text(
        "How often the chosen completion scores higher than the rejected one; a tie counts half. Intervals are 95 %, "
        "by resampling whole prompts. `longer wins` and `random` are to be beaten; where the chosen one is shorter "
        "no bias to length helps."
    )
    report.table(
        HEADERS,
        [[one.name, one.all, one.shorter, one.longer, one.length] for one in figures.accuracies],
        _over_length(done),
    )
    parts = ("all", "chosen is shorter", "chosen is longer")
    series = {one.name: [one.all, one.shorter, one.longer] for one in reversed(figures.accuracies)}
    report.figure(bars(parts, series, "pairs in order, %", 100), "Held-out pairs in order")
    report.section("Probes")
    report.text(
        "A linear model reads each label from the features that the head stands on (MRMBench's method). What cannot "
        "be read there, the reward does not know; `length` is whether a completion is longer than the median."
    )
    report.table(
        ("dimension", "right", "majority", "AUC", "fitted on"),
        [[one.name, one.accuracy, one.majority, one.auc, one.trained] for one in figures.probes],
    )
    names = [one.name for one in figures.probes]
    probed: dict[str, list[Interval | float]] = {
        "majority": [one.majority for one in figures.probes],
        "probe": [one.accuracy for one in figures.probes],
    }
    report.figure(bars(names, probed, "right, %", 100), "Linear probes")
    report.section("Training")
    keys = {
        "loss": "loss of the step",
        "accuracy": "pairs in order, of the step",
        "validation/loss": "loss, validation",
        "validation/accuracy": "pairs in order, validation",
    }
    report.figure(curves(done.run.rows(), keys), "Figures by step")
    report.section("Surest mistakes")
    report.samples(_mistakes(done))
    report.section("Settings")
    scale = done.calibration
    report.facts({**{f"calibration {name}": value for name, value in scale.to_dict().items()}, **_settings(config)})
    return report.save(done.run.folder / "report.html")


def _over_length(done: Trained) -> str:
    test = done.figures.over_length
    return f"{LEARNED} over longer wins: {test.difference.text(100, 1)} points, p = {test.p:.2g}"


def _mistakes(done: Trained) -> list[dict[str, Any]]:
    """Held-out pairs whose rejected completion scores higher, the widest apart first."""
    from common.pictures import load_any

    gaps = (done.scores[:, 1] - done.scores[:, 0]).tolist()
    wrong = sorted((at for at, gap in enumerate(gaps) if gap > 0), key=lambda at: -gaps[at])[:SHOWN]
    cards = []
    for at in wrong:
        pair = done.preferences.rows[done.split.test[at]]
        high, low = done.scores[at].tolist()
        cards.append(
            {
                "line": pair.line,
                "prompt": _prompt(pair),
                **({"image": load_any(pair.images[0])} if pair.images else {}),
                f"chosen ({high:.2f})": pair.chosen,
                f"rejected ({low:.2f})": pair.rejected,
            }
        )
    return cards


def _prompt(pair: Preference) -> str:
    from common.rewards.trained.learner import answered

    return answered(pair, 0).prompt_text


def _settings(config: TrainRewardConfig) -> dict[str, Any]:
    found = asdict(config)
    backbone = found.pop("backbone")
    return {**found, **{f"backbone.{name}": value for name, value in backbone.items()}}
