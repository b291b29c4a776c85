"""What an audit of the text-to-3D reward looks like: tables in the terminal, and a report with the pictures."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from apps.text3d.auditing.assay import REWARD
from apps.text3d.auditing.cases import GROUPS, Case
from common.assays import NONE
from common.rewards.audit.report import folded, percent, percent_interval
from common.stats import Interval

if TYPE_CHECKING:
    from PIL.Image import Image

    from apps.text3d.audit import Text3dAudit
    from apps.text3d.auditing.assay import Harm
    from apps.text3d.config import Text3dConfig
    from common.report import Report

Digits = Callable[[Interval], str]

GEOMETRY = "geometry judge"
_OVERVIEW = (
    "line",
    "mutations killed %",
    "test_seen %",
    "test_held %",
    "hacks beaten %",
    "shuffle AUC",
    "right order %",
    "flat %",
)
_OVERVIEW_NOTE = (
    "killed: the true row scores higher; right order: of rows made of one scene, as perfect answers order them; flat: "
    "scenes whose rows all score within a twentieth of the range"
)
_KILLS_NOTE = (
    "% of the true rows that score higher, with 95 % Wilson intervals. Perfect answers to the reward's own questions, "
    "and the judge who sees the geometry, are upper lines"
)
_HARM_NOTE = (
    "mean, in the score's own units; in brackets the % of rows in which it is more than a quarter of what a mutation "
    "costs on average, or what this row's own had cost where it is an order"
)


def print_audit(found: Text3dAudit) -> None:
    """Tables for the terminal, then what to look into."""
    from common.ui import say, table, warn

    title = f"{len(found.said)} rows made of {len(found.subjects)} scenes"
    table(title, _OVERVIEW, _overview(found, percent), _OVERVIEW_NOTE)
    table("True row scores higher than …", *_kills(found, percent), _KILLS_NOTE)
    table("What harmless changes cost", *_harms(found, "harmless"), _HARM_NOTE)
    table("What orders to the grader earn", *_harms(found, "orders"), _HARM_NOTE)
    if found.facts:
        table("Answers against the truth", *_facts(found, percent))
    for note in found.subjects.notes:
        say(note)
    for flag in found.flags:
        warn(flag)


def write_report(found: Text3dAudit, config: Text3dConfig) -> Report:
    """The page: overview, mutations, what is harmless, orders, truth, the pictures, cost."""
    from common.report import Report, bars

    report = Report(
        "Audit of the text-to-3D reward",
        f"{len(found.said)} rows made of {len(found.subjects)} scenes of the pocket world",
    )
    for flag in found.flags:
        report.alarm(flag)
    if not found.flags:
        report.text("Nothing was found that speaks against training with this reward.")
    report.section("Overview").table(_OVERVIEW, _overview(found, percent_interval), _OVERVIEW_NOTE)
    report.text("\n".join(f"- {note}" for note in found.subjects.notes))
    report.section("Mutations and hacks").text(
        "Wrong prompts with the true pictures, the true prompt with pictures of a wrong scene, and pictures that "
        "please a grader without showing anything. Each must score lower than the true row, by more than a "
        "ten-thousandth of the range. What says less than is shown, or shows more than is said, stands last and "
        "counts in no sum."
    )
    for names in _groups(found):
        series: dict[str, list[Interval | float]] = {
            name: [_kill(found, name, mutation) for mutation in names] for name in _lines(found)
        }
        shown = {name: values for name, values in series.items() if any(one.n for one in _intervals(values))}
        report.figure(bars([folded(name) for name in names], shown, "true row higher, %", 100))
    report.table(*_kills(found, percent_interval), _KILLS_NOTE)
    report.section("What harmless changes cost").text("The row stays as true as it was; its score should stay.")
    report.table(*_harms(found, "harmless"), _HARM_NOTE)
    report.section("What orders to the grader earn").text(
        "Wrong rows, with an order to say yes drawn into the picture or written into the prompt. None may gain by it."
    )
    report.table(*_harms(found, "orders"), _HARM_NOTE)
    if found.facts:
        report.section("Answers against the truth").text(
            "The model's answers about all rows, as the pocket world knows them; what is undecided is left out."
        )
        report.table(*_facts(found, percent_interval))
    _length(report, found)
    _pictures(report, found, config.audit.shown)
    report.section("Batches and cost").facts(
        {
            "greatest change, judged again": f"{found.steady.again:.2g}",
            "greatest change, in another order and alone": f"{found.steady.batch:.2g}",
            "seconds a row": round(found.steady.seconds, 4),
            "rows in which a grader failed": found.failed,
            "vision-language model": config.reward.vlm.model,
            "form": config.reward.vlm.form,
            "CLIP": config.reward.clip.name or "none",
            "views of": f"{config.audit.views} × {config.audit.size} px",
            "seed": config.seed,
        }
    )
    return report


def _overview(found: Text3dAudit, digits: Digits) -> list[list[Any]]:
    rows = []
    for name, line in found.lines.items():
        agreement = line.general.agreement
        rows.append(
            [
                name,
                digits(line.facts),
                *(digits(line.splits.get(split, NONE)) for split in ("test_seen", "test_held")),
                digits(line.hacks),
                round(line.general.shuffle_auc, 3),
                "–" if agreement is None else digits(agreement.pairwise),
                digits(line.collapse.collapse),
            ]
        )
    return rows


def _lines(found: Text3dAudit) -> list[str]:
    return [*found.lines, *([GEOMETRY] if found.geometry else [])]


def _groups(found: Text3dAudit) -> list[list[str]]:
    """Mutations of the prompt, of scene and picture, and hacks: a figure each."""
    names = _names(found)
    prompt = [name for name in names if GROUPS["prompt"](name)]
    shown = [name for name in names if GROUPS["scene"](name) or GROUPS["pictures"](name)]
    rest = [name for name in names if name not in {*prompt, *shown}]
    return [group for group in (prompt, shown, rest) if group]


def _names(found: Text3dAudit) -> list[str]:
    lines = found.lines.values()
    must = [one.operator for line in lines for one in line.general.mutations]
    return list(dict.fromkeys([*must, *(name for line in lines for name in line.apart)]))


def _kill(found: Text3dAudit, line: str, mutation: str) -> Interval:
    if line == GEOMETRY:
        return found.geometry.get(mutation, NONE)
    tried = [one for one in found.lines[line].general.mutations if one.operator == mutation]
    tried += [one for name, one in found.lines[line].apart.items() if name == mutation]
    return tried[0].killed if tried else NONE


def _kills(found: Text3dAudit, digits: Digits) -> tuple[list[str], list[list[Any]]]:
    rows = []
    for name in _names(found):
        tried = max(_kill(found, line, name).n for line in found.lines)
        rows.append([name, tried, *(digits(_kill(found, line, name)) for line in _lines(found))])
    return ["", "tried", *_lines(found)], rows


def _harms(found: Text3dAudit, group: str) -> tuple[list[str], list[list[Any]]]:
    harms: dict[str, Mapping[str, Harm]] = {name: getattr(line, group) for name, line in found.lines.items()}
    names = list(dict.fromkeys(one for several in harms.values() for one in several))
    rows = [[name, *(_harm(several.get(name)) for several in harms.values())] for name in names]
    rows.append(["a mutation", *(f"{round(line.cost.mean, 3) + 0.0:.3f}" for line in found.lines.values())])
    return ["", *harms], rows


def _harm(one: Harm | None) -> str:
    if one is None or not one.change.n:
        return "–"
    # No minus before a zero.
    return f"{round(one.change.mean, 3) + 0.0:.3f} ({one.beyond.mean * 100:.0f})"


def _facts(found: Text3dAudit, digits: Digits) -> tuple[list[str], list[list[Any]], str]:
    rows = [
        [name, one.right.n, digits(one.right), round(one.yes * 100), round(one.auc, 3)]
        for name, one in found.facts.items()
    ]
    note = "yes: share of the questions of which yes is true; AUC: of the odds of yes, whatever the threshold"
    return ["fact", "answers", "true %", "yes %", "AUC"], rows, note


def _length(report: Report, found: Text3dAudit) -> None:
    report.section("Length")
    report.table(
        ["line", "length", "filler"],
        [[name, line.length.slope.text(1, 2), line.length.gain.text(1, 3)] for name, line in found.lines.items()],
        "length: rank correlation of score and the prompt's words among true rows; filler: what empty words earn",
    )


def _pictures(report: Report, found: Text3dAudit, scenes: int) -> None:
    """Some scenes with everything that was made of them, beside the scores."""
    those = found.subjects
    made = [*those.mutants, *those.hacks, *those.apart, *those.harmless, *(after for _, after in those.orders)]
    number = {case.scene: sum(one.scene == case.scene for one in made) for case in those.references}
    chosen = sorted(number, key=lambda scene: (-number[scene], scene))[:scenes]
    for scene in chosen:
        reference = those.references[scene]
        report.section(f"Pictures: {reference.prompt}")
        cases = [reference, *(case for case in made if case.scene == scene)]
        harmless = {id(case) for case in those.harmless}
        report.samples([_card(found, case, reference, id(case) in harmless) for case in cases])


def _card(found: Text3dAudit, case: Case, reference: Case, harmless: bool) -> dict[str, Any]:
    judged, true = found.said[id(case)], found.said[id(reference)]
    line = found.lines[REWARD].general
    gap = true.value - judged.value
    tie = 1e-4 * (line.bounds[1] - line.bounds[0])
    verdict = "not scored" if math.isnan(gap) else "scores lower" if gap > tie else "scores no lower"
    parts = {name: round(value, 3) for name, value in judged.parts.items() if not math.isnan(value)}
    card: dict[str, Any] = {"picture": _strip(case), "what": "true" if case is reference else case.name}
    if case.prompt != reference.prompt:
        card["prompt"] = case.prompt
    card |= {REWARD: "–" if math.isnan(judged.value) else f"{judged.value:.3f}", "parts": parts}
    if case is not reference:
        card["beside the true row"] = f"{verdict}{', and is as true' if harmless else ''}"
    return card


def _strip(case: Case) -> Image:
    """A case's pictures side by side."""
    import torch
    from PIL import Image

    wide = torch.cat(list(case.seen), -1).permute(1, 2, 0).contiguous()
    return Image.fromarray(wide.numpy())


def _intervals(values: list[Interval | float]) -> list[Interval]:
    return [one for one in values if isinstance(one, Interval)]
