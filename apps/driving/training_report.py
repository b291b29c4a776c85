"""What a training run shows at its end: the driver beside others in the terminal, and the run's report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from apps.driving.measures import tables
from common import ui
from common.report import Report
from common.training import outcome

if TYPE_CHECKING:
    from apps.driving.config import DrivingConfig
    from apps.driving.measures.episodes import Episode
    from apps.driving.train import Result

CURVES = {
    "reward": "mean reward a step",
    "episode/return": "return of an episode",
    "episode/length": "steps of an episode",
    "episode/success": "share of episodes that reach the goal",
    "episode/route_completion": "route completion in training",
    "episode/collided": "collision rate in training",
    "heldout/route_completion": "held-out route completion",
    "heldout/collisions": "held-out collision rate",
    "heldout/speed": "held-out speed, km/h",
    "entropy_loss": "entropy loss",
    "approx_kl": "KL of an update",
    "explained_variance": "explained variance",
    "ent_coef": "entropy weight",
}


def episodes_of(result: Result) -> list[Episode]:
    """Every held-out episode, the trained driver's first."""
    return [episode for one in (result.trained, *result.beside) for episode in one.episodes]


def show(result: Result, json_output: bool) -> None:
    """Print the table of drivers, or the same as JSON."""
    episodes = episodes_of(result)
    found = [group.to_dict() for group in tables.groups(episodes)]
    if json_output:
        outcome.print_json(result.run, {}, groups=found, remark=tables.remark(episodes))
        return
    ui.table("Held-out routes", *tables.rows_by_group(tables.groups(episodes)), caption=tables.remark(episodes))
    outcome.print_places(result.run)


def write_report(result: Result, config: DrivingConfig) -> Path:
    """`report.html` of a run: drivers side by side, curves, settings; the drives are on a page beside it."""
    episodes = episodes_of(result)
    title = f"{config.reward.title} reward, {config.control.algorithm.upper()}, seed {result.run.seed}"
    report = Report("Driving: training", title)
    found = tables.groups(episodes)
    report.section("Held-out routes").table(*tables.rows_by_group(found), tables.remark(episodes))
    report.text("Trajectories, moving pictures and all figures: [driven/report.html](driven/report.html).")
    for line in outcome.alarms(result.run):
        report.alarm(line)
    outcome.add_curves(report, result.run, "control", "Training", CURVES)
    return outcome.finish(report, result.run, "control", "Samples")
