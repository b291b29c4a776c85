"""`evaluate`: drive policies on fixed routes, densities and seeds; figures with intervals, paired test, report."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.driving.evaluate_config import Settings
from common import ui
from common.errors import DataError, UsageError
from common.files import read_json, write_json

if TYPE_CHECKING:
    from apps.driving.measures.comparison import Comparison
    from apps.driving.measures.episodes import Episode
    from apps.driving.measures.evaluation import Course

FORMAT = 1
EVALUATION, REPORT = "evaluation.json", "report.html"


@dataclass
class Evaluation:
    """Episodes of one driver, and what they hold under.

    Attributes:
        name: of the driver, as tables call it.
        rules: plain values, see `Course.rules`.
        episodes: that it drove.
    """

    name: str
    rules: Mapping[str, Any]
    episodes: list[Episode]


def run_evaluate(
    config: Settings,
    policy: str = "pocket",
    compare: str | None = None,
    out: str | None = None,
    json_output: bool = False,
    backend: str | None = None,
    host: str | None = None,
    port: int | None = None,
) -> int:
    """Print tables; with `out` write `evaluation.json`, `report.html` and every episode, and go on where it was.

    Args:
        config: the settings; `evaluate` says what is driven.
        policy: pocket, rule-based, random, a run folder or a saved policy; several with commas between them.
        compare: another policy, which is driven too, or an `evaluation.json` of one: paired test against the first.
        out: folder of the files.
        json_output: print JSON instead of tables.
        backend: embedded, carla or auto, in place of the configured one.
        host: of the CARLA server.
        port: of the CARLA server.

    Returns:
        0, or 1 where the simulator broke an episode off.
    """
    from apps.driving.measures.episodes import LOST
    from apps.driving.measures.evaluation import cases
    from apps.driving.measures.evaluation_report import print_tables
    from apps.driving.measures.tables import groups, remark

    names = [name.strip() for name in policy.split(",") if name.strip()]
    if not names:
        raise UsageError("--policy is empty; give pocket, rule-based, random, a run folder or a saved policy")
    earlier = read_evaluation(compare) if compare is not None and compare.endswith(".json") else None
    if compare is not None and earlier is None and compare not in names:
        names.append(compare)
    courses = courses_of(config, names, backend, host, port)
    wanted = cases(config.evaluate, config.env.routes.folders)
    found = [drive(course, wanted, out, json_output) for course in courses]
    second = earlier or next((one for name, one in zip(names, found, strict=True) if name == compare), None)
    comparison = None if second is None else against(second, found[0])
    episodes = [episode for one in found for episode in one.episodes]
    if out is not None:
        write(config, courses, found, comparison, Path(out), json_output)
    if json_output:
        ui.print_json(
            {
                "simulator": episodes[0].backend,
                "remark": remark(episodes),
                "groups": [group.to_dict() for group in groups(episodes)],
                "comparison": None if comparison is None else plain(comparison),
                "report": None if out is None else str(Path(out) / REPORT),
            }
        )
    else:
        print_tables(episodes, comparison)
        if out is not None:
            ui.say(f"report: {Path(out) / REPORT}")
    return int(any(episode.cause == LOST for episode in episodes))


def courses_of(
    config: Settings,
    names: Sequence[str],
    backend: str | None = None,
    host: str | None = None,
    port: int | None = None,
) -> list[Course]:
    """A course for each driver, all in one simulator.

    Raises:
        UsageError: a driver is named twice or unknown, or there is no such simulator.
    """
    from apps.driving.backends.choose import chosen
    from apps.driving.measures.evaluation import Course, Loader
    from apps.driving.roads.library import load_roads

    if len(set(names)) < len(names):
        raise UsageError(f"a policy is named twice in {', '.join(names)}")
    if not config.evaluate.maps:
        raise UsageError("evaluate.maps is empty; name a map, for instance village")
    roads = load_roads(config.evaluate.maps[0], tuple(config.env.routes.folders))
    simulator = chosen(config.simulator, roads, backend, host, port)
    short = [Path(name).name for name in names]
    # Two runs may have one folder name; then tables give the whole path.
    labels = [name if short.count(tail) > 1 else tail for name, tail in zip(names, short, strict=True)]
    return [
        Course(Loader(name), config.env, config.evaluate, simulator, label)
        for name, label in zip(names, labels, strict=True)
    ]


def drive(course: Course, wanted: Sequence[Any], out: str | None, quiet: bool) -> Evaluation:
    """All episodes of one driver, those of an earlier, interrupted call among them."""
    from apps.driving.measures.evaluation import evaluate
    from apps.driving.measures.journal import Journal

    rules = course.rules()
    journal = None if out is None else Journal(Path(out) / "episodes" / _slug(course.label), rules)
    try:
        return Evaluation(course.label, rules, evaluate(course, wanted, journal, quiet))
    except KeyboardInterrupt:
        if journal is not None:
            ui.say(f"{len(journal.done)} episodes are kept in {journal.folder}; the same command goes on from there")
        raise


def against(first: Evaluation, second: Evaluation) -> Comparison:
    """Paired test of the second driver against the first.

    Raises:
        UsageError: they were driven under other rules or in other simulators.
    """
    from apps.driving.measures.comparison import compare

    for name in ("simulator", "end", "target_speed"):
        if first.rules.get(name) != second.rules.get(name):
            raise UsageError(
                f"{first.name} and {second.name} were evaluated under different settings of {name!r} "
                f"({first.rules.get(name)} and {second.rules.get(name)}); evaluate both under the same"
            )
    return compare(first.episodes, second.episodes)


def write(
    config: Settings,
    courses: Sequence[Course],
    found: Sequence[Evaluation],
    comparison: Comparison | None,
    out: Path,
    quiet: bool,
) -> None:
    """Write `evaluation.json` and `report.html`."""
    from apps.driving.measures.evaluation_report import write_report
    from apps.driving.measures.films import choose, show
    from apps.driving.measures.tables import groups
    from apps.driving.roads.library import load_roads

    episodes = [episode for one in found for episode in one.episodes]
    write_json(
        out / EVALUATION,
        {
            "format": FORMAT,
            "simulator": episodes[0].backend,
            "drivers": {one.name: one.rules for one in found},
            "groups": [group.to_dict() for group in groups(episodes)],
            "comparison": None if comparison is None else plain(comparison),
            "episodes": [episode.to_dict(track=False) for episode in episodes],
        },
    )
    shown = []
    for course, one in zip(courses, found, strict=True):
        chosen = choose(one.episodes, config.evaluate.show)
        show(course, chosen, out / "films" if config.evaluate.mp4 else None, quiet)
        shown += chosen
    folders = tuple(config.env.routes.folders)
    roads = {network.name: network for network in (load_roads(name, folders) for name in config.evaluate.maps)}
    settings = {f"{one.name}: {key}": value for one in found for key, value in one.rules.items()}
    write_report(out / REPORT, episodes, roads, shown, comparison, settings)


def read_evaluation(path: Path | str) -> Evaluation:
    """The driver of an `evaluation.json`; where it has several, the first.

    Raises:
        DataError: it is none.
    """
    from apps.driving.measures.episodes import Episode

    content = read_json(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT or not content.get("drivers"):
        raise DataError("no evaluation of drivers; `evaluate --out FOLDER` writes one", path=path)
    name, rules = next(iter(content["drivers"].items()))
    episodes = [Episode.from_dict(row) for row in content["episodes"] if row.get("policy") == name]
    return Evaluation(name, rules, episodes)


def plain(comparison: Comparison) -> dict[str, Any]:
    """A paired test for JSON."""
    return {
        **{name: getattr(comparison, name) for name in ("first", "second", "backend", "pairs", "routes", "alone")},
        "tests": {name: test.to_dict() for name, test in comparison.tests.items()},
    }


def _slug(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "driver"
