"""`audit`: would this reward shape true scenes? Mutations, hacks, orders and harmless changes, before a run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.scored_rows import finite

if TYPE_CHECKING:
    from apps.text3d.auditing.assay import Line, Steadiness
    from apps.text3d.auditing.cases import Subjects
    from apps.text3d.auditing.truth import FactAgreement
    from apps.text3d.config import Text3dConfig
    from apps.text3d.reward_answers import Judged
    from apps.text3d.rewards import Text3dReward
    from common.rewards.audit.measures import MutationResult
    from common.stats import Interval

#: Of rows that are as true as their reference, or that give orders, no more than this share may lose, or gain.
MOST_MOVED = 0.2
#: Of a model's answers, this share should be true.
LEAST_RIGHT = 0.7


@dataclass(frozen=True)
class Text3dAudit:
    """Everything the audit found.

    Attributes:
        lines: the reward, each part, and perfect answers, by name.
        facts: the model's answers against the truth, by kind of fact.
        geometry: share that the judge of geometry finds wrong, by mutation; `true`: that he finds right.
        steady: whether a row's score is its own, and what it costs.
        failed: cases in which a grader failed.
        subjects: what was shown.
        said: what the reward made of each case, by its `id`.
        flags: what to look into before training.
    """

    lines: Mapping[str, Line]
    facts: Mapping[str, FactAgreement]
    geometry: Mapping[str, Interval]
    steady: Steadiness
    failed: int
    subjects: Subjects
    said: Mapping[int, Judged]
    flags: Sequence[str]

    def to_json(self) -> dict[str, Any]:
        """Plain values for a file; NaN and infinity are None."""
        return {
            "scenes": len(self.subjects),
            "cases": len(self.said),
            "grader_failed": self.failed,
            "lines": {name: _json(line) for name, line in self.lines.items()},
            "facts": {
                name: {"right": one.right.to_dict(), "auc": finite(one.auc), "yes": one.yes}
                for name, one in self.facts.items()
            },
            "geometry": {name: one.to_dict() for name, one in self.geometry.items()},
            "steady": {name: finite(value) for name, value in asdict(self.steady).items()},
            "notes": list(self.subjects.notes),
            "flags": list(self.flags),
        }


def run_audit(config: Text3dConfig, rows: int = 16, out: str | None = None, json_output: bool = False) -> int:
    """Assay the configured reward on scenes of the pocket world; writes `audit.json` and `report.html`.

    Args:
        config: whose `reward` is assayed, with what `audit` says.
        rows: scenes of seen combinations, and as many of held-out ones.
        out: folder of the report; `audit` in the runs folder where not given.
        json_output: print the figures as JSON.

    Raises:
        UsageError: a model cannot be opened, or less than two scenes were found.
        GraderFailure: the grader failed on every true row.
    """
    from apps.text3d.auditing.cases import subjects
    from apps.text3d.auditing.page import print_audit, write_report
    from apps.text3d.rewards import build_reward
    from common.files import write_json
    from common.training.run import set_threads
    from common.ui import print_json, say

    set_threads(config.threads)
    reward = build_reward(config.reward)
    found = audit_reward(reward, subjects(config.audit, rows, config.seed), config, json_output)
    folder = Path(out) if out else Path(config.runs) / "audit"
    write_json(folder / "audit.json", found.to_json())
    write_report(found, config).save(folder / "report.html")
    if json_output:
        print_json(found.to_json())
    else:
        print_audit(found)
        say(f"report: {folder / 'report.html'}")
    return 0


def audit_reward(reward: Text3dReward, those: Subjects, config: Text3dConfig, quiet: bool = False) -> Text3dAudit:
    """Assay a reward.

    Args:
        reward: any of `apps.text3d.rewards`.
        those: what it is shown.
        config: how many rows are judged together, and how many scenes by geometry.
        quiet: no progress bar.

    Raises:
        GraderFailure: the grader failed on every true row.
    """
    from apps.text3d.auditing import assay
    from apps.text3d.auditing.truth import exact, facts, geometry
    from common.errors import GraderFailure
    from common.ui import progress

    cases = those.cases()
    with progress("audit", len(cases), quiet) as bar:
        said = assay.look(reward, cases, config.reward.batch_size, bar)
    if all(math.isnan(said[id(case)].value) for case in those.references):
        reason = next((one.reason for one in said.values() if one.reason), "")
        raise GraderFailure(f"none of {len(those)} true rows could be scored: {reason}")
    true = {id(case): exact(reward, case) for case in cases}
    lines = assay.lines(reward, those, said, true)
    seen = facts(said, true)
    steady = assay.steadiness(reward, those.references)
    failed = sum(bool(one.failed) for one in said.values())
    return Text3dAudit(
        lines,
        seen,
        geometry(those, config.audit.judged) if config.audit.judged else {},
        steady,
        failed,
        those,
        said,
        flags_of(lines[assay.REWARD], seen, steady, failed),
    )


def flags_of(line: Line, seen: Mapping[str, FactAgreement], steady: Steadiness, failed: int) -> list[str]:
    """What to look into before a run is paid for: of the reward's line, its model's answers, and its failures."""
    span = line.general.bounds[1] - line.general.bounds[0]
    found = list(line.general.flags)
    if failed:
        found.append(f"the grader failed on {failed} rows; they are left out of every figure")
    for name, one in line.harmless.items():
        if one.beyond.n and one.beyond.mean > MOST_MOVED:
            found.append(f"{name}: {one.beyond.mean:.0%} of the rows lose by a change that leaves them true")
    for name, one in line.orders.items():
        if one.beyond.n and one.beyond.mean > MOST_MOVED:
            found.append(f"{name}: {one.beyond.mean:.0%} of the wrong rows gain by an order to the grader")
    if line.collapse.collapse.mean > 0.5:
        found.append(f"the rows made of {line.collapse.collapse.mean:.0%} of the scenes score alike")
    if abs(line.length.slope.mean) > 0.5:
        found.append(f"score and the prompt's length correlate by {line.length.slope.mean:.2f}")
    for fact, agreement in seen.items():
        if agreement.right.mean < LEAST_RIGHT:
            found.append(f"of its answers about {fact}, {agreement.right.mean:.0%} are true only")
    if max(steady.again, steady.batch) > 1e-4 * span:
        found.append(f"a row's score changes by up to {max(steady.again, steady.batch):.3g} with the rows beside it")
    return found


def _json(line: Line) -> dict[str, Any]:
    def kill(one: MutationResult) -> dict[str, Any]:
        return {"killed": one.killed.to_dict(), "drop": one.drop.to_dict(), "failed": one.failed}

    agreement = line.general.agreement
    return {
        "true": line.general.reference.to_dict(),
        "killed": line.facts.to_dict(),
        "cost": line.cost.to_dict(),
        "hacks": line.hacks.to_dict(),
        "splits": {name: one.to_dict() for name, one in line.splits.items()},
        "mutations": {one.operator: kill(one) for one in line.general.mutations},
        "apart": {name: kill(one) for name, one in line.apart.items()},
        **{
            group: {
                name: {"change": one.change.to_dict(), "beyond": one.beyond.to_dict()} for name, one in harms.items()
            }
            for group, harms in (("harmless", line.harmless), ("orders", line.orders))
        },
        "shuffle_auc": finite(line.general.shuffle_auc),
        "collapse": line.collapse.collapse.to_dict(),
        "spread": finite(line.collapse.std),
        "length": {"slope": line.length.slope.to_dict(), "filler": line.length.gain.to_dict()},
        "agreement": None
        if agreement is None
        else {"pairwise": agreement.pairwise.to_dict(), "spearman": agreement.spearman.to_dict()},
    }
