"""`audit`: would this reward teach right answers? Wrong facts, hacks and rewordings, before a run is paid for."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from apps.medvqa.auditing.result import AnswerAudit, RewardAssay
from apps.medvqa.reward_config import RECIPE_NAMES
from common.config import nearest
from common.errors import UsageError

if TYPE_CHECKING:
    from apps.medvqa.auditing.subjects import Made, Subjects, Trials
    from apps.medvqa.config import MedVqaConfig
    from apps.medvqa.data import Example
    from common.rewards.audit import AuditReport
    from common.rewards.base import Reward

#: What the configured reward is compared with.
COMPARED = ("exact_match", "token_f1", "rouge_l", "bmas", "cosine", "medix")
#: Below this share of rows an operator is flagged, where it has at least `FEW` of them.
LEAST, FEW = 0.9, 10
#: More flat groups than this teach nothing.
FLATTEST = 0.2
#: Wording that pays this much (rank correlation among right wordings) teaches length, not content.
STEEPEST = 0.5


def run_audit(
    config: MedVqaConfig,
    rows: int = 200,
    recipes: str | None = None,
    out: str | None = None,
    json_output: bool = False,
) -> int:
    """Assay the configured reward and others on questions of `train`; writes `audit.json`, `report.html`, `kills.png`.

    Args:
        config: whose `reward` is assayed on `train`; pictures are not looked at.
        rows: questions, drawn so that every operator gets its share; 0 takes all.
        recipes: comma-separated recipes to compare with; `COMPARED` where not given.
        out: folder of the report; `audit` in the runs folder where not given.
        json_output: print the figures as JSON.

    Raises:
        DataError: the questions cannot be read or have no answers.
        UsageError: no such recipe, one that cannot be made from the config, or less than no rows.
    """
    if config.reward.own:
        raise UsageError("reward.own: assay it by python -m apps audit --app medvqa --reward FILE")
    from apps.medvqa.auditing.page import kill_map, kill_title, print_audit, write_report
    from common.rewards.audit.report import hand_over
    from common.training.run import set_threads

    if rows < 0:
        raise UsageError(f"--rows {rows}: how many questions to assay, or 0 for all of them")
    names = _names(config, recipes)
    set_threads(config.threads)
    pool = load_pool(config, rows)
    found = audit_rewards(config, drawn(pool, rows, config.seed), pool, names, recipes is not None, json_output)
    folder = Path(out) if out else Path(config.runs) / "audit"
    folder.mkdir(parents=True, exist_ok=True)
    kill_map(found, kill_title(found, config)).savefig(folder / "kills.png", dpi=160, facecolor="white")
    report, picture = write_report(found, config), f", picture: {folder / 'kills.png'}"
    return hand_over(found.to_json(), report, folder, lambda: print_audit(found), json_output, picture)


def load_pool(config: MedVqaConfig, rows: int) -> list[Example]:
    """The questions of `train`, without opening a picture; of the pocket world five times as many as `rows`."""
    from apps.medvqa.data import load_examples
    from apps.medvqa.pocket import load_pocket

    data = config.train
    if data.format == "pocket" and not data.languages and not data.kinds:
        limit = min(data.limit or 5 * rows, 5 * rows) or data.limit
        return load_pocket(data.split or "train", limit or None, data.seed, pictures=False)
    return load_examples(replace(data, missing_pictures="keep"))


def drawn(pool: Sequence[Example], rows: int, seed: int = 0) -> list[Example]:
    """A draw of so many questions that no operator of `mutations.FACTS` is short of them while others have plenty.

    Args:
        pool: questions.
        rows: how many; 0 takes all.
        seed: decides which.
    """
    from apps.medvqa.auditing.subjects import facts, subjects, usable

    order = [example for example in pool if usable(example)]
    if not rows or rows >= len(order):
        return order
    random.Random(seed).shuffle(order)
    those = subjects(order, "plain", seed)
    waiting: dict[str, list[int]] = {}
    applies: dict[int, list[str]] = {}
    for one in facts(those, seed):
        waiting.setdefault(one.operator, []).append(one.row)
        applies.setdefault(one.row, []).append(one.operator)
    counts = dict.fromkeys(waiting, 0)
    taken: dict[int, None] = {}
    while len(taken) < min(rows, len(applies)):
        operator = min((name for name in waiting if waiting[name]), key=lambda name: counts[name])
        row = waiting[operator].pop()
        if row not in taken:
            taken[row] = None
            for name in applies[row]:
                counts[name] += 1
    rest = [row for row in range(len(those)) if row not in taken][: rows - len(taken)]
    return [those.examples[row] for row in sorted((*taken, *rest))]


def audit_rewards(
    config: MedVqaConfig,
    examples: Sequence[Example],
    pool: Sequence[Example] = (),
    recipes: Sequence[str] = (),
    strict: bool = False,
    quiet: bool = False,
) -> AnswerAudit:
    """Assay the configured reward and others.

    Args:
        config: settings of the rewards.
        examples: the questions.
        pool: questions whose answers may stand for another row's.
        recipes: what to compare with.
        strict: raise where one of them cannot be made; else it is left out with a note.
        quiet: no progress bar.
    """
    from apps.medvqa.auditing.subjects import subjects, trials
    from common.ui import progress

    those = subjects(examples, config.reward.style, config.seed, pool)
    notes = [f"{len(examples) - len(those)} questions were left out: asked twice, not in English, or without answer"]
    with progress("audit", len(recipes) + 2, quiet) as bar:
        bar(0, "wrong answers")
        made = trials(those, config.seed, notes)
        rewards = build_rewards(config, dict.fromkeys((config.reward.recipe, *recipes)), strict, notes)
        if config.reward.semantic.rescaler == "group_minmax":
            notes.append("group_minmax compares the answers of one group; here each stands alone, so it says little")
        found = {}
        for number, (name, reward) in enumerate(rewards.items(), 1):
            bar(number, name)
            found[name] = assay_reward(reward, those, made, config.seed)
    return AnswerAudit(found, config.reward.recipe, those, notes[0 if len(examples) > len(those) else 1 :])


def assay_reward(reward: Reward, those: Subjects, made: Trials, seed: int = 0) -> RewardAssay:
    """Everything about one reward.

    Args:
        reward: the reward.
        those: the questions.
        made: what was made of their answers.
        seed: of what is drawn.
    """
    from apps.medvqa.auditing import assay
    from apps.medvqa.auditing.rewordings import REWORDINGS
    from common.rewards.audit import measures as measure

    general, facts, hacks, others = _scores(reward, those, made, seed)
    span = reward.bounds[1] - reward.bounds[0]
    own = general.scores["reference"]

    def drops(several: Sequence[Made], scores: Sequence[float]) -> list[float]:
        return [(own[one.row] - score) / span for one, score in zip(several, scores, strict=True)]

    killed, beaten, kept = drops(made.facts, facts), drops(made.hacks, hacks), drops(made.rewordings, others)
    right = [*enumerate(own), *((one.row, score) for one, score in zip(made.rewordings, others, strict=True))]
    wrong = [(one.row, score) for one, score in zip((*made.facts, *made.hacks), (*facts, *hacks), strict=True)]
    judged = [(row, True, score) for row, score in enumerate(own) if "phantom" in those.examples[row].tags]
    judged += [
        (one.row, one.right, score)
        for one, score in zip((*made.facts, *made.hacks, *made.rewordings), (*facts, *hacks, *others), strict=True)
        # Of a reworded answer the truth may not know the words: then it says nothing of it.
        if one.right is not None and (one.right or one.operator not in REWORDINGS)
    ]
    found = RewardAssay(
        general,
        assay.cells(made.facts, killed),
        assay.cells(made.hacks, beaten),
        assay.cells(made.rewordings, kept, keeping=True),
        assay.together(made.facts, killed),
        assay.together(made.hacks, beaten),
        assay.together(made.rewordings, kept, keeping=True),
        measure.spread([*own, *facts], [*range(len(those)), *(one.row for one in made.facts)], span),
        assay.separation(right, wrong),
        next((one.auc for one in general.controls if one.name == "another picture's"), math.nan),
        assay.length_slope(made.rewordings, others, own, those),
        assay.agreement(judged, span),
        general.latency,
        (),
    )
    return replace(found, flags=_flags(found))


def _scores(
    reward: Reward, those: Subjects, made: Trials, seed: int
) -> tuple[AuditReport, list[float], list[float], list[float]]:
    """The general audit, and the scores of mutants, hacks and rewordings in their order."""
    from apps.medvqa.auditing.subjects import by_operator
    from common.rewards.audit import Assay, Mutant, audit

    padded = by_operator(made.rewordings)["padded"]
    general = audit(
        reward,
        those.columns,
        {name: _saying(several) for name, several in by_operator(made.hacks).items()},
        [Mutant(one.row, one.operator, one.completion) for one in made.facts],
        pad=_saying(padded),
        seed=seed,
    )
    queues = {name: iter(general.scores[f"mutant:{name}"]) for name in by_operator(made.facts)}
    return (
        general,
        [next(queues[one.operator]) for one in made.facts],
        [general.scores[one.operator][one.row] for one in made.hacks],
        Assay(reward, len(those), 64).score("rewording", those.placed(made.rewordings)),
    )


def _flags(found: RewardAssay) -> list[str]:
    """What should be looked into before training."""
    flags = []
    for kind, cells in (("mutant", found.facts), ("hack", found.hacks)):
        flags += [
            f"{kind} {name!r}: {1 - cell.passed.mean:.0%} of {cell.passed.n} score near the right answer, or above it"
            for name, cell in cells.items()
            if cell.passed.n >= FEW and cell.passed.mean < LEAST
        ]
    flags += [
        f"said otherwise ({name}): {1 - cell.passed.mean:.0%} of {cell.passed.n} right answers score otherwise"
        for name, cell in found.rewordings.items()
        if cell.passed.n >= FEW and cell.passed.mean < LEAST
    ]
    if found.spread.collapse.mean > FLATTEST:
        flags.append(f"right and wrong answers score alike for {found.spread.collapse.mean:.0%} of the questions")
    if found.separation.mean < LEAST:
        flags.append(f"a right answer scores above a wrong one with chance {found.separation.mean:.2f} only")
    if abs(found.slope.mean) > STEEPEST:
        flags.append(f"of right wordings the {'longer' if found.slope.mean > 0 else 'shorter'} score higher")
    if found.agreement is not None and found.agreement.pairwise.mean < LEAST:
        share = found.agreement.pairwise.mean
        flags.append(f"of right and wrong answers to one question {share:.0%} of the pairs are ordered rightly")
    # The general audit flags mutants and controls by its own, finer measure.
    said = tuple(f"{one.name}:" for one in found.general.controls)
    seen = (*said, "mutation ", "shuffle AUC", "score and length")
    return [*flags, *(flag for flag in found.general.flags if not flag.startswith(seen))]


def _names(config: MedVqaConfig, recipes: str | None) -> list[str]:
    """The configured recipe and those to compare it with."""
    names = COMPARED if recipes is None else [name.strip() for name in recipes.split(",") if name.strip()]
    for name in names:
        if name not in RECIPE_NAMES:
            raise UsageError(f"no recipe {name!r}{nearest(name, RECIPE_NAMES)}")
    return list(dict.fromkeys((config.reward.recipe, *names)))


def build_rewards(config: MedVqaConfig, recipes: Iterable[str], strict: bool, notes: list[str]) -> dict[str, Reward]:
    """Rewards by recipe; what cannot be made from the config raises where `strict`, else it is noted."""
    from apps.medvqa.rewards import build_reward

    own = config.reward.recipe
    found: dict[str, Reward] = {}
    for name in recipes:
        # Weights belong to the configured recipe's parts.
        weights = config.reward.weights if name == own else {}
        try:
            found[name] = build_reward(replace(config.reward, recipe=cast("Any", name), weights=weights))
        except UsageError as error:
            if strict or name == own:
                raise
            notes.append(f"{name} was left out: {error}")
    return found


def _saying(made: Sequence[Made]) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    # Hacks and padding apply to every row, so that these are all rows in their order.
    return lambda columns: {**columns, "completion": [one.completion for one in made]}
