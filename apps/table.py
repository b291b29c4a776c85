"""`table`: the evaluations of all runs side by side, two of them in paired tests, and a leaderboard as a page."""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.suite import APPS
from common import ui
from common.errors import DataError, TouchstoneError, UsageError
from common.files import read_json

if TYPE_CHECKING:
    from common.results import Figure, Result
    from common.stats import PairedTest

#: Files that hold evaluations, and what is put behind the run's name for each.
FILES = {"evaluation.json": "", "before.json": " (before)", "training.json": ""}
#: Figures that fit into a terminal; the page and --json have all.
SHOWN = 5
TEST_HEADERS = ("measure", "difference [95 % interval]", "p", "rows", "better there", "better here")


def run_table(
    runs: Sequence[str] = (),
    compare: Sequence[str] | None = None,
    out: str = "runs/leaderboard.html",
    json_output: bool = False,
) -> int:
    """Print a table for each application and write the page.

    Args:
        runs: runs' folders, or folders that hold some at any depth; `runs` where there are none.
        compare: two runs, or two evaluation files: the second against the first, on the rows that both have.
        out: page to write; none where empty.
        json_output: print JSON instead of tables.

    Raises:
        DataError: an evaluation that was named is not there or cannot be read; the two have no rows in common.
        UsageError: nothing was found.
    """
    pair = tuple(one_result(Path(name)) for name in compare or ())
    places = [Path(one) for one in runs or ["runs"]]
    # Two runs may be compared wherever they lie.
    found, trouble = collect(places) if runs or not pair or places[0].is_dir() else ([], [])
    if not found and not pair:
        raise UsageError(
            f"no evaluation in {', '.join(map(str, runs)) or 'runs'}; `python -m apps.APP train` and "
            "`python -m apps.APP evaluate --out FOLDER` write them" + "".join(f"; {one}" for one in trouble)
        )
    tests = compared(*pair) if pair else {}
    shown = found or list(pair)
    if json_output:
        ui.print_json(
            {
                "results": [one.to_dict() for one in shown],
                "comparison": {name: test.to_dict() for name, test in tests.items()} if pair else None,
                "unreadable": trouble,
            }
        )
    else:
        for app, several in by_app(pair if pair and not runs else shown).items():
            ui.table(app, *rows(several, SHOWN))
        if pair:
            ui.table(f"{pair[1].name} against {pair[0].name}", TEST_HEADERS, test_rows(pair[1], tests))
    for one in trouble:
        ui.warn(one)
    if out:
        page = write_leaderboard(Path(out), shown, pair, tests)
        ui.say(f"leaderboard: {page}")
    return 0


def collect(places: Sequence[Path]) -> tuple[list[Result], list[str]]:
    """Every evaluation below these folders, and what could not be read.

    Raises:
        DataError: a place that was named is not there.
    """
    found: list[Result] = []
    trouble: list[str] = []
    for place in places:
        if not place.exists():
            raise DataError("no such folder; give a run's folder, or one that holds runs", path=place)
        files = [place] if place.is_file() else sorted(one for name in FILES for one in place.rglob(name))
        for file in files:
            try:
                found += read(file)
            except TouchstoneError as error:
                trouble.append(str(error))
    return list({(one.path.resolve(), one.name): one for one in found}.values()), trouble


def read(file: Path) -> Iterator[Result]:
    """The results in one file, by whichever application knows it.

    Raises:
        DataError: none does.
    """
    content = read_json(file)
    results = []
    if isinstance(content, Mapping):
        for app in APPS:
            results = list(importlib.import_module(f"apps.{app}.results").read(file, content, run_name(file)))
            if results:
                break
    if not results:
        raise DataError("no application knows this evaluation", path=file)
    yield from results


def run_name(file: Path) -> str:
    """A run as tables call it: its folder below `runs/<app>`, or its folder's name."""
    parts = file.resolve().parent.parts
    places = [at for at, part in enumerate(parts[:-1]) if part in APPS and parts[at - 1] == "runs"]
    name = "/".join(parts[places[-1] + 1 :]) if places else parts[-1]
    return name + FILES.get(file.name, f" ({file.stem})")


def one_result(place: Path) -> Result:
    """The evaluation that stands for a run: of several drivers the first, of a training what came after it.

    Raises:
        DataError: there is none.
    """
    if place.is_dir():
        candidates = [place / name for name in FILES if name != "before.json"]
        below = [one for name in FILES for one in sorted(place.glob(f"*/{name}")) if name != "before.json"]
        place = next((one for one in (*candidates, *below) if one.is_file()), place / next(iter(FILES)))
    if not place.is_file():
        raise DataError("no evaluation there; `evaluate --out FOLDER` writes one", path=place)
    return next(read(place))


def compared(first: Result, second: Result) -> Mapping[str, PairedTest]:
    """Paired tests of the second against the first.

    Raises:
        DataError: what does not match.
    """
    from common.results import compare

    tests = compare(first, second)
    if not tests:
        raise DataError(
            f"{first.path} and {second.path} have no figure in common: {', '.join(first.figures)} and "
            f"{', '.join(second.figures)}"
        )
    return tests


def by_app(found: Sequence[Result]) -> dict[str, list[Result]]:
    """Results by application, the best first; of one score in the order found."""
    return {
        app: sorted((one for one in found if one.app == app), key=lambda one: -one.standing)
        for app in APPS
        if any(one.app == app for one in found)
    }


def rows(several: Sequence[Result], figures: int | None = None) -> tuple[list[str], list[list[Any]]]:
    """Headers and rows of one application's table: those figures that most results have, the headline first."""
    names = list(dict.fromkeys(name for one in several for name in one.figures))
    first = list(dict.fromkeys(one.headline for one in several))
    counts = {name: sum(name in one.figures for one in several) for name in names}
    order = [*first, *sorted((name for name in names if name not in first), key=lambda name: -counts[name])]
    kept = order[:figures]
    headers = ["run", "rows", *(_title(name, several) for name in kept)]
    return headers, [[one.name, one.rows, *(_text(one.figures.get(name)) for name in kept)] for one in several]


def test_rows(result: Result, tests: Mapping[str, PairedTest]) -> list[list[Any]]:
    """A row for each paired test, in the figure's unit."""
    found = []
    for name, test in tests.items():
        figure = result.figures.get(name)
        scale, digits = (figure.scale, figure.digits) if figure else (1.0, 3)
        p = "–" if math.isnan(test.p) else "< 0.001" if test.p < 0.001 else f"{test.p:.3f}"
        # Counts are of larger values; where less is better, the better one is the other.
        more, less = (test.n10, test.n01) if figure and figure.lower else (test.n01, test.n10)
        found.append([name, test.difference.text(scale, digits), p, test.difference.n, less, more])
    return found


def write_leaderboard(
    path: Path, found: Sequence[Result], pair: Sequence[Result], tests: Mapping[str, PairedTest]
) -> Path:
    """The page: for each application a plot of the headline and a table of every figure."""
    from common.report import Report, bars

    report = Report("Leaderboard", f"{len(found)} evaluations; brackets: 95 % intervals")
    report.text(
        "Runs of one table are compared only where they were measured on the same rows; a difference of two means "
        "says less than a paired test (`--compare A B`)."
    )
    for app, several in by_app(found).items():
        report.section(app)
        headline = several[0].headline
        own = [one for one in several if headline in one.figures]
        scale = own[0].figures[headline].scale
        shown = own[:12]
        values = [one.figures[headline].value for one in shown]
        report.figure(bars([_folded(one.name) for one in shown], {headline: values}, headline, scale))
        report.table(*rows(several), caption="↓: less is better")
        sizes = {one.rows for one in several}
        if len(sizes) > 1:
            report.alarm(f"these were measured on different numbers of rows: {', '.join(map(str, sorted(sizes)))}")
    if pair:
        report.section("Paired tests").text(f"{pair[1].name} (here) against {pair[0].name} (there).")
        report.table(TEST_HEADERS, test_rows(pair[1], tests))
    return report.save(path)


def _title(name: str, several: Sequence[Result]) -> str:
    figure = next(one.figures[name] for one in several if name in one.figures)
    unit = ", %" if figure.scale == 100 and "%" not in name else ""
    return f"{name}{unit}{' ↓' if figure.lower else ''}"


def _text(figure: Figure | None) -> str:
    return figure.text if figure else "–"


def _folded(name: str) -> str:
    return name.replace(" (", "\n(").replace("/", "/\n")
