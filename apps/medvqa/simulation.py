"""Which mixture of rewards turns a right order of answers into the right advantages.

A simulation without a policy, after the one of the project's reference: groups of G answers are drawn from behaviour
cases whose tiers say which answer is better, each answer keeps the asked-for form with probability 0.7, and trl's own
formulas (1.16, `GRPOTrainer._generate_and_score_completions`) make advantages of the rewards. *Truth* is the mean over
groups of Spearman's correlation of advantage and tier: 1 where a better answer always gets more. *Form* is that of
advantage and form: what is left of the pull towards the form. Groups come in steps, so that re-scalers with a history
have one.

    python -m apps.medvqa.simulation CASES.jsonl [ENCODER]
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apps.medvqa.cases import Case, order_cases, read_cases, scorers
from apps.medvqa.parts.adaptive import AdaptiveSemantic
from apps.medvqa.parts.answer import MedicalAnswer, OnAnswer
from apps.medvqa.parts.semantic import UNRELATED
from apps.medvqa.reward_config import SemanticConfig
from common.errors import TouchstoneError, UsageError
from common.rewards.base import Reward
from common.rewards.text import EncoderSimilarity, TokenF1
from common.rewards.transforms.rescale import RESCALERS, Threshold, rescaler
from common.stats import Interval, mean_interval_over_seeds

Array = NDArray[Any]
Maker = Callable[[], Reward]

#: trl adds it to every standard deviation.
EPSILON = 1e-4
FORM_RATE = 0.7


def normalised_sum(rewards: Array, weights: Sequence[float], size: int) -> Array:
    r"""The `sum_then_normalize` of trl, scaled by group: :math:`(\sum_k w_k r_k - \mu_g) / (\sigma_g + 10^{-4})`.

    Args:
        rewards: `(K, N)`, groups of `size` side by side.
        weights: `(K,)`.
        size: answers in a group.

    Returns:
        `(N,)` advantages.
    """
    return _scaled(np.asarray(weights) @ rewards, size)


def gdpo(rewards: Array, weights: Sequence[float], size: int) -> Array:
    """The `normalize_then_sum` of trl (GDPO, arXiv 2601.05242): each reward by group, their weighted sum by batch."""
    total = sum(weight * _scaled(one, size) for weight, one in zip(weights, rewards, strict=True))
    return _scaled(np.asarray(total), rewards.shape[1])


def _scaled(values: Array, size: int) -> Array:
    groups = values.reshape(-1, size)
    centred = groups - groups.mean(1, keepdims=True)
    result: Array = (centred / (groups.std(1, ddof=1, keepdims=True) + EPSILON)).ravel()
    return result


@dataclass(frozen=True)
class Mixing:
    """How the form f, token F1 and the semantic term s come together.

    Attributes:
        parts: makes the rewards `(K, N)` out of f, F1 and s.
        weights: `(K,)`.
        advantages: `normalised_sum` or `gdpo`.
    """

    parts: Callable[[Array, Array, Array], list[Array]]
    weights: tuple[float, ...]
    advantages: Callable[[Array, Sequence[float], int], Array] = normalised_sum


#: The reference's five, and ways to weigh the form less: a small weight, or a factor. The last is the default reward.
MIXINGS: Mapping[str, Mixing] = {
    "s": Mixing(lambda f, f1, s: [s], (1.0,)),
    "f+s": Mixing(lambda f, f1, s: [f, s], (1.0, 1.0)),
    "f+F1+s": Mixing(lambda f, f1, s: [f, f1, s], (1.0, 1.0, 1.0)),
    "GDPO f,s": Mixing(lambda f, f1, s: [f, s], (1.0, 1.0), gdpo),
    "GDPO f,F1,s": Mixing(lambda f, f1, s: [f, f1, s], (1.0, 1.0, 1.0), gdpo),
    ".1f+s": Mixing(lambda f, f1, s: [f, s], (0.1, 1.0)),
    "GDPO .25f,s": Mixing(lambda f, f1, s: [f, s], (0.25, 1.0), gdpo),
    "f*s": Mixing(lambda f, f1, s: [f * s], (1.0,)),
    "(.75+.25f)*s": Mixing(lambda f, f1, s: [(0.75 + 0.25 * f) * s], (1.0,)),
}


@dataclass(frozen=True)
class Figure:
    """What one mixing makes of one term, with intervals over seeds.

    Attributes:
        truth: mean correlation of advantage and tier; a group without any advantage counts 0.
        form: mean correlation of advantage and form.
        flat: share of groups without any advantage.
    """

    truth: Interval
    form: Interval
    flat: Interval


def simulate(
    cases: Sequence[Case],
    terms: Mapping[str, Maker],
    mixings: Mapping[str, Mixing] = MIXINGS,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    size: int = 8,
    per_case: int = 24,
    step: int = 25,
) -> dict[str, dict[str, Figure]]:
    """Every term in every mixing.

    Args:
        cases: where answers are drawn from, with replacement; the same groups for every term and mixing of a seed.
        terms: makers of the semantic terms s; a new one is made for each seed, so that no history is carried over.
        mixings: see `MIXINGS`.
        seeds: one simulation each.
        size: answers in a group, G.
        per_case: groups drawn from each case; those whose answers are all of one tier are left out of the figures.
        step: groups in a step.

    Returns:
        Figures by term and mixing.
    """
    found: dict[str, dict[str, list[tuple[float, float, float]]]] = {
        term: {mixing: [] for mixing in mixings} for term in terms
    }
    for seed in seeds:
        rng = np.random.default_rng(seed)
        picked = rng.permutation(np.repeat(np.arange(len(cases)), per_case))
        rows = [(cases[at], int(one)) for at in picked for one in rng.integers(len(cases[at].answers), size=size)]
        form = (rng.random(len(rows)) < FORM_RATE).astype(float)
        tiers = np.array([case.tiers[one] for case, one in rows], float)
        f1 = _scores(OnAnswer(TokenF1()), rows, size, step)
        for term, make in terms.items():
            scores = _scores(make(), rows, size, step)
            for name, mixing in mixings.items():
                advantages = mixing.advantages(np.stack(mixing.parts(form, f1, scores)), mixing.weights, size)
                found[term][name].append(_figures(advantages, tiers, form, size))
    return {
        term: {name: Figure(*map(mean_interval_over_seeds, zip(*runs, strict=True))) for name, runs in several.items()}
        for term, several in found.items()
    }


def _scores(reward: Reward, rows: Sequence[tuple[Case, int]], size: int, step: int) -> Array:
    """The reward of each row, a step at a time."""
    scores: list[float] = []
    for number, start in enumerate(range(0, len(rows), size * step)):
        some = rows[start : start + size * step]
        output = reward(
            completion=[case.answers[one] for case, one in some],
            reference=[case.reference for case, _ in some],
            question=[case.question for case, _ in some],
            group=[at // size for at in range(len(some))],
            step=number,
        )
        scores += output.values.tolist()
    return np.array(scores)


def _figures(advantages: Array, tiers: Array, form: Array, size: int) -> tuple[float, float, float]:
    # Rounding leaves a constant group with advantages of 1e-12.
    a, tier, kept = (one.reshape(-1, size) for one in (advantages.round(6), tiers, form))
    varied = np.ptp(tier, axis=1) > 0
    a, tier, kept = a[varied], tier[varied], kept[varied]
    truth, pull = _correlations(a, tier), _correlations(a, kept)[np.ptp(kept, axis=1) > 0]
    return float(truth.mean()), float(pull.mean()), float((np.ptp(a, axis=1) == 0).mean())


def _correlations(left: Array, right: Array) -> Array:
    """Spearman's correlation of each row of `(M, G)`; 0 where a side is constant."""
    x, y = (_ranks(side) for side in (left, right))
    x, y = x - x.mean(1, keepdims=True), y - y.mean(1, keepdims=True)
    scale = np.sqrt((x * x).sum(1) * (y * y).sum(1))
    result: Array = np.divide((x * y).sum(1), scale, out=np.zeros(len(x)), where=scale > 0)
    return result


def _ranks(values: Array) -> Array:
    """Ranks within each row; ties share their mean rank."""
    less = (values[:, None, :] < values[:, :, None]).sum(2)
    equal = (values[:, None, :] == values[:, :, None]).sum(2)
    result: Array = less + (equal + 1) / 2
    return result


def semantic_terms(semantic: SemanticConfig, medical: MedicalAnswer | None = None) -> dict[str, Maker]:
    """The semantic terms of the reference's table, then token F1, the scorer alone, half and half, and ours.

    Only the encoder, the noise and the room are taken from `semantic`; re-scalers and thresholds are the table's.

    Args:
        semantic: encoder and settings.
        medical: the scorer to use; the shipped one where not given.
    """
    known = MedicalAnswer() if medical is None else medical
    cosine = partial(EncoderSimilarity, semantic.encoder, device=semantic.device)

    def alone(name: str) -> Reward:
        return OnAnswer(rescaler(name, cosine(), UNRELATED))

    def above(at: float) -> Reward:
        return OnAnswer(Threshold(cosine(), at))

    def ours(name: str) -> Reward:
        return AdaptiveSemantic(known, rescaler(name, cosine(), UNRELATED, semantic.noise), semantic.room)

    return {
        **{name: partial(alone, name) for name in RESCALERS},
        **{f"[cos >= {at}]": partial(above, at) for at in (0.8, 0.95)},
        "token F1": lambda: OnAnswer(TokenF1()),
        "scorer": lambda: known,
        "(scorer+affine)/2": lambda: 0.5 * known + 0.5 * alone("affine"),
        **{f"adaptive {name}": partial(ours, name) for name in RESCALERS},
    }


def table(figures: Mapping[str, Mapping[str, Figure]], which: str = "truth") -> str:
    """One figure as text, a term a line and a mixing a column; the widest half interval below."""
    names = list(next(iter(figures.values())))
    width = max(map(len, figures)) + 1
    lines = [" " * width + "".join(f"{name:>13}" for name in names)]
    halves = []
    for term, several in figures.items():
        found = [getattr(several[name], which) for name in names]
        lines.append(f"{term:<{width}}" + "".join(f"{one.mean:>13.3f}" for one in found))
        halves += [(one.high - one.low) / 2 for one in found]
    return "\n".join([*lines, f"95 % over seeds: at most +- {max(halves):.3f}"])


def main(arguments: Sequence[str]) -> None:
    """Print how the scorers order a file of cases, and what the mixtures make of them."""
    if not 1 <= len(arguments) <= 2:
        raise UsageError("usage: python -m apps.medvqa.simulation CASES.jsonl [ENCODER]")
    cases = read_cases(arguments[0])
    semantic = SemanticConfig(encoder=arguments[1] if len(arguments) > 1 else "hash")
    lines = []
    for name, reward in scorers(semantic).items():
        found = order_cases(reward, cases)
        share = f"{found.right}/{found.pairs} = {found.right / found.pairs:.1%}"
        lines.append(f"{name:<12} pairs right {share}, whole cases {found.whole}/{found.cases}")
    figures = simulate(cases, semantic_terms(semantic))
    lines += [f"\n{which}: mean over 5 seeds\n{table(figures, which)}" for which in ("truth", "form", "flat")]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except TouchstoneError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)
