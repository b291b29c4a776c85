"""Several methods and seeds in one command: each a run of its own, one table with intervals over seeds at the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from apps.captioning.config import CaptioningConfig
from apps.captioning.measures.evaluation import SCALES, WORDS, Evaluation
from apps.captioning.train import Result, train_one
from common import ui
from common.errors import UsageError
from common.files import write_json
from common.stats import Interval
from common.training.comparison import add_alarms, alarm_kinds, begin, over_seeds, recipes_and_seeds, reopen
from common.training.run import plain
from common.training.workers import ALONE, Workers

START, NOISY = "text-only", "capdec"


def _reward(**weights: float) -> Callable[[CaptioningConfig], None]:
    def change(config: CaptioningConfig) -> None:
        for name in ("clip_cos", "clip_agg", "naturalness"):
            setattr(config.reward, name, weights.get(name, 0.0))

    return change


def _text_only(config: CaptioningConfig) -> None:
    config.rl.steps, config.init.noise, config.init.further, config.captioner.align = 0, 0.0, 0, False


def _decap(config: CaptioningConfig) -> None:
    _text_only(config)
    config.captioner.projection = 100.0


def _capdec(config: CaptioningConfig) -> None:
    noise, further = config.init.noise or CAPDEC_NOISE, config.init.further or config.init.steps
    _text_only(config)
    # A captioner that is loaded has not seen noise.
    config.init.noise, config.init.further = noise, further


def _aligned(config: CaptioningConfig) -> None:
    _text_only(config)
    config.captioner.align = True


def _capdec_aligned(config: CaptioningConfig) -> None:
    _capdec(config)
    config.captioner.align = True


# CapDec's variance is 0.016 in 640 or 768 dimensions; the noise's expected length, not its variance, is what carries
# over to features of another size, so the pocket CLIP's 128 dimensions would be drowned by it.
CAPDEC_NOISE = 0.001

#: What each method changes in the settings; all else is the same for all. The first five are no reinforcement, the
#: others start from the settings' own initialisation, with `init.noise` or without.
METHODS: dict[str, Callable[[CaptioningConfig], None]] = {
    START: _text_only,
    "decap": _decap,
    NOISY: _capdec,
    "aligned": _aligned,
    "capdec-aligned": _capdec_aligned,
    "clip-cos": _reward(clip_cos=1.0),
    "clip-agg": _reward(clip_agg=1.0),
    "gan": _reward(naturalness=1.0),
    "cgtgan": _reward(clip_cos=0.5, clip_agg=0.5, naturalness=1.0),
}


def start_of(method: str, config: CaptioningConfig) -> str:
    """The method whose initialisation, of the same seed, this one goes on from; it is then trained once."""
    if method in (START, NOISY):
        return ""
    if method in ("decap", "aligned"):
        return START
    return NOISY if method == "capdec-aligned" or config.init.noise else START


Results = Mapping[tuple[str, int], Result]


def run_comparison(config: CaptioningConfig, name: str | None, json_output: bool, workers: Workers = ALONE) -> int:
    """Train every method with every seed of `config.comparison`, then compare them on the same held-out pictures.

    Raises:
        UsageError: an unknown method, there is such a comparison already, or there are several processes.
    """
    _check_alone(workers)
    for method in config.comparison.methods:
        if method not in METHODS:
            raise UsageError(f"comparison.methods: there is no {method!r}; choose from {', '.join(METHODS)}")
    return _finish(config, begin(config, config.runs, name), json_output)


def resume(folder: Path, json_output: bool, workers: Workers = ALONE) -> int:
    """Go on with an interrupted run or comparison, with the settings it was started with.

    Raises:
        UsageError: there is none, or a comparison is resumed in several processes.
    """
    from apps.captioning.training_report import show

    config, whole = reopen(folder, CaptioningConfig)
    if whole:
        _check_alone(workers)
        return _finish(config, folder, json_output)
    result = train_one(config, resume=folder, workers=workers)
    workers.main_only(lambda: show(result, json_output))
    return 0


def _check_alone(workers: Workers) -> None:
    if not workers.alone:
        raise UsageError(
            f"a comparison trains run after run in one process, and {workers.number} were launched; start it with "
            "python -m, or train each method by itself"
        )


def _finish(config: CaptioningConfig, folder: Path, json_output: bool) -> int:
    results = {
        (method, seed): _one(config, folder, method, seed)
        for seed in config.comparison.seeds or [config.seed]
        for method in config.comparison.methods or [""]
    }
    summary = summarise(results)
    write_json(folder / "comparison.json", summary)
    write_comparison_report(results, summary, folder)
    if json_output:
        ui.print_json(summary)
    else:
        _print(summary, folder)
    return 0


def _one(config: CaptioningConfig, folder: Path, method: str, seed: int) -> Result:
    own = deepcopy(config)
    own.seed, own.runs = seed, str(folder)
    own.comparison.methods, own.comparison.seeds = [], []
    if method:
        METHODS[method](own)
    start = folder / f"{start_of(method, config)}-seed{seed}" / "model"
    if start.is_dir():
        own.captioner.path, own.init.further = str(start), 0
    name = f"{method or 'run'}-seed{seed}"
    ui.say(f"{method or 'the settings'}, seed {seed}")
    started = folder / name
    command = f"python -m apps.captioning train --resume {folder}"
    return train_one(own, name, started if (started / "run.json").is_file() else None, command)


def summarise(results: Results) -> dict[str, Any]:
    """Every measure after training, and the gain over the run's own start; means over seeds.

    The interval over seeds is Student's t on the seeds' means, so one seed gives no interval. Nearest-corpus retrieval
    needs no training; it stands beside the methods where the runs measured it.
    """
    methods, seeds = recipes_and_seeds(results)
    summary: dict[str, Any] = {
        "seeds": seeds,
        "pictures": len(next(iter(results.values())).after.items),
        "methods": {},
    }
    for method in methods:
        own = [results[method, seed] for seed in seeds]
        summary["methods"][method or "run"] = {
            "after": _means([result.after for result in own]),
            "before": _means([result.before for result in own]),
            "gain": _gains([(result.before, result.after) for result in own]),
            "alarms": alarm_kinds({seed: results[method, seed].run for seed in seeds}),
        }
    retrieved = [result.retrieval for result in results.values() if result.retrieval is not None]
    if retrieved:
        summary["methods"]["retrieval"] = {"after": _means(retrieved[:1]), "alarms": []}
    return summary


def _means(evaluations: list[Evaluation]) -> dict[str, Any]:
    """`{measure: {all, held, seen}}`, each a mean over seeds with its interval and the seeds' values."""
    return {
        name: {
            part: _over_seeds([evaluation.interval(name, held).mean for evaluation in evaluations])
            for part, held in (("all", None), ("held", True), ("seen", False))
        }
        for name in evaluations[0].names
    }


def _gains(pairs: list[tuple[Evaluation, Evaluation]]) -> dict[str, Any]:
    return {
        name: {
            part: _over_seeds(
                [after.interval(name, held).mean - before.interval(name, held).mean for before, after in pairs]
            )
            for part, held in (("all", None), ("held", True), ("seen", False))
        }
        for name in pairs[0][1].names
    }


def _over_seeds(values: list[float]) -> dict[str, Any]:
    return {**over_seeds(values), "values": plain(values)}


def _print(summary: Mapping[str, Any], folder: Path) -> None:
    # A terminal has no room for all; the report has.
    names, rows = _rows(summary, most=2)
    columns = ("method", *(WORDS.get(name, name) for name in names), "held-out combinations", "gain", "alarms")
    ui.table(f"Held-out pictures, {len(summary['seeds'])} seeds", columns, rows)
    ui.say(f"report: {folder / 'report.html'}")


def _rows(summary: Mapping[str, Any], most: int | None = None) -> tuple[list[str], list[tuple[Any, ...]]]:
    """The first `most` measures' names, and a row for each method."""
    methods = summary["methods"]
    names = [name for name in SCALES if all(name in found["after"] for found in methods.values())][:most]
    rows = []
    for method, found in methods.items():
        cells = [
            Interval.from_dict(found["after"][name]["all"]).text(SCALES[name], 1 if SCALES[name] == 100 else 2)
            for name in names
        ]
        first = names[0]
        held = Interval.from_dict(found["after"][first]["held"]).text(SCALES[first], 1)
        change = Interval.from_dict(found["gain"][first]["all"]).text(SCALES[first], 1) if "gain" in found else "–"
        rows.append((method, *cells, held, change, len(found["alarms"])))
    return names, rows


def write_comparison_report(results: Results, summary: Mapping[str, Any], folder: Path) -> Path:
    """The page of a comparison: table, learning curves of every run, alarms."""
    from common.plots import lines
    from common.report import Report

    names, rows = _rows(summary)
    report = Report("Captioning: methods compared", f"seeds {', '.join(map(str, summary['seeds']))}")
    report.section("Result")
    first = WORDS.get(names[0], names[0])
    columns = (
        "method",
        *(WORDS.get(name, name) for name in names),
        f"{first}, held-out combinations",
        "gain",
        "alarms",
    )
    report.table(
        columns,
        rows,
        f"{summary['pictures']} held-out pictures, greedy captions. Brackets: 95 % Student interval over seeds. The "
        "gain is over each run's own start.",
    )
    curves: dict[str, list[list[tuple[float, float]]]] = {}
    for (method, _), result in results.items():
        curve = [
            (float(row["step"]), row["validation/selected"])
            for row in result.run.rows("rl")
            if row.get("validation/selected") is not None
        ]
        if curve:
            curves.setdefault(method or "run", []).append(curve)
    if curves:
        report.section("Learning curves")
        report.figure(
            lines(curves, "step", "reward on validation pictures"), "Each method's own reward; one line a seed"
        )
    add_alarms(report, results)
    return report.save(folder / "report.html")
