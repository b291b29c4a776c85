"""The medical rewards: named recipes over the core's parts and the medical answer scorer.

A row holds `completion`, `question` and `reference` (a text or a list of right answers); some recipes need `kind`
("closed" or "open"), `reasoning` or `group`. A row without a reference gets no reward (NaN).

Every recipe scores the *answer* in a completion, as `apps.medvqa.answers.extract` finds it, and treats the asked-for
form in one way (`formed`), so that recipes of one term differ in that term alone. The default, its re-scaler and the
weight of the form were picked by `apps.medvqa.simulation`; see tests/benchmarks/test_medvqa_mixing.py for the figures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from apps.medvqa.answers import extract
from apps.medvqa.parts.adaptive import AdaptiveSemantic
from apps.medvqa.parts.answer import ByKind, MedicalAnswer, OnAnswer
from apps.medvqa.parts.semantic import similarity
from apps.medvqa.reward_config import RECIPE_NAMES, RewardConfig
from common.config import nearest
from common.errors import UsageError
from common.rewards.base import Reward
from common.rewards.build import build
from common.rewards.compose import Product, WeightedSum
from common.rewards.judges import LlmJudge
from common.rewards.state import with_state
from common.rewards.text import (
    Bmas,
    EmbeddingTable,
    EncoderSimilarity,
    ExactMatch,
    ExplanationSimilarity,
    RougeL,
    TokenF1,
    WordVectors,
)
from common.rewards.text.instructions import MaxWords, StrictTags, adherence
from common.rewards.transforms import Affine, Threshold

__all__ = [
    "RECIPES",
    "AdaptiveSemantic",
    "ByKind",
    "MedicalAnswer",
    "OnAnswer",
    "build_judge",
    "build_reward",
    "form",
    "formed",
]

#: The recipes whose parts have weights to set.
SUMS = ("medix", "armed", "mixed_r1", "shaping")


def adaptive(config: RewardConfig) -> Reward:
    """The default: the medical scorer, and an encoder where it does not know the words; see `AdaptiveSemantic`.

    Inspired by ARMed (arXiv 2508.12957): its adaptive semantic reward is not published.
    """
    structure = MedicalAnswer(config.tables)
    return formed(config, AdaptiveSemantic(structure, similarity(config.semantic), config.semantic.room))


def scorer(config: RewardConfig) -> Reward:
    """The medical scorer alone; see `MedicalAnswer`."""
    return formed(config, MedicalAnswer(config.tables))


def exact_match(config: RewardConfig) -> Reward:
    """1 for the reference's words, else 0: the rule of MedVLThinker (arXiv 2508.02669), on normalised texts."""
    return formed(config, OnAnswer(ExactMatch()))


def token_f1(config: RewardConfig) -> Reward:
    """F1 of the answer's words, the usual open-ended reward."""
    return formed(config, OnAnswer(TokenF1()))


def rouge_l(config: RewardConfig) -> Reward:
    """ROUGE-L F1 of the answer's words (Lin 2004, β = 1), as MedEvalKit measures open answers."""
    return formed(config, OnAnswer(RougeL(beta=1.0, tokenizer="words")))


def bmas(config: RewardConfig) -> Reward:
    """BMAS of Mixed-R1 (arXiv 2505.24164) on every answer; see `common.rewards.text.bmas.Bmas`."""
    return formed(config, OnAnswer(_bmas(config)))


def cosine(config: RewardConfig) -> Reward:
    """The encoder's raw cosine, cut at 0: the reward that collapses."""
    return formed(config, OnAnswer(_cosine(config)))


def threshold(config: RewardConfig) -> Reward:
    """1 where the encoder's cosine reaches `semantic.threshold`: the embedding reward of MediX-R1 (arXiv 2602.23363).

    Its threshold, 0.8, belongs to its encoder (MedEmbed-large); with another most groups are flat.
    """
    return formed(config, OnAnswer(Threshold(_cosine(config), config.semantic.threshold)))


def judge(config: RewardConfig) -> Reward:
    """The LLM judge alone; see `common.rewards.judges.answer.LlmJudge`."""
    return formed(config, build_judge(config))


def medix(config: RewardConfig) -> Reward:
    """MediX-R1 (arXiv 2602.23363): 0.9·(0.575 judge + 0.375·1[cos ≥ τ]) + 0.1 format, its modality tag left out.

    Without an endpoint the judge is exact match, which is the shortcut that theirs takes before it asks. Differs:
    answers of one letter or with ":" or "?" are scored like others (theirs: 0), an outage is NaN (theirs: 0), the
    candidate reaches the judge escaped, and the modality's 0.05 is shared out.
    """
    match = build_judge(config) if config.judge.url else OnAnswer(ExactMatch())
    near = OnAnswer(Threshold(_cosine(config), config.semantic.threshold, name="near"))
    share = 0.9 / (0.575 + 0.375)
    return _weighted(
        config, {"match": (match, share * 0.575), "near": (near, share * 0.375), "format": (form(config), 0.1)}
    )


def armed(config: RewardConfig) -> Reward:
    """A sum after ARMed's description (arXiv 2508.12957): textual correctness + re-scaled similarity + format.

    The paper's textual term, re-scaling and weights are not public; here they are token F1, `semantic.rescaler`, and 1
    each. It is the mixture that the reference's simulation found drowned by its format term.
    """
    near = OnAnswer(similarity(config.semantic), name="semantic")
    return _weighted(
        config, {"textual": (OnAnswer(TokenF1()), 1.0), "semantic": (near, 1.0), "format": (form(config), 1.0)}
    )


def mixed_r1(config: RewardConfig) -> Reward:
    """Mixed-R1 (arXiv 2505.24164): exact match for closed questions, BMAS for open ones, and format.

    Needs the column `kind`. Its weights are not known: 1 for the answer, 0.1 for the format. Its chart and IoU rewards
    are `common.rewards.text.numeric.NumericMatch` and `common.rewards.image.boxes.BoxIou`.
    """
    answer = OnAnswer(ByKind(ExactMatch(), _bmas(config), "answer"))
    return _weighted(config, {"answer": (answer, 1.0), "format": (form(config), 0.1)})


def shaping(config: RewardConfig) -> Reward:
    """Shaping Explanations (arXiv 2509.13081): similarity of the reasoning + correctness of the answer + format.

    Needs the column `reasoning`. Its weights are not known: 1 each, format 0.1. Correctness is exact match.
    """
    told = ExplanationSimilarity(config.semantic.encoder, device=config.semantic.device)
    return _weighted(
        config,
        {"explanation": (told, 1.0), "correct": (OnAnswer(ExactMatch()), 1.0), "format": (form(config), 0.1)},
    )


#: Every recipe by name.
RECIPES: dict[str, Callable[[RewardConfig], Reward]] = {
    "adaptive": adaptive,
    "scorer": scorer,
    "exact_match": exact_match,
    "token_f1": token_f1,
    "rouge_l": rouge_l,
    "bmas": bmas,
    "cosine": cosine,
    "threshold": threshold,
    "judge": judge,
    "medix": medix,
    "armed": armed,
    "mixed_r1": mixed_r1,
    "shaping": shaping,
}


def build_reward(config: RewardConfig) -> Reward:
    """Compose the configured recipe; no encoder is opened and nobody asked before the first batch.

    Raises:
        UsageError: unknown recipe, style or re-scaler, weights that the recipe does not have, a judge without an
            address, or what `build` says of `own`.
    """
    if config.own:
        return with_state(build(config.own))
    if config.recipe not in RECIPES:
        raise UsageError(f"unknown reward recipe {config.recipe!r}{nearest(config.recipe, RECIPE_NAMES)}")
    if config.weights and config.recipe not in SUMS:
        raise UsageError(f"the recipe {config.recipe!r} has a single term, so there are no weights to set")
    return with_state(RECIPES[config.recipe](config))


def build_judge(config: RewardConfig) -> Reward:
    """The LLM judge of an answer, without any form.

    Raises:
        UsageError: no endpoint is configured.
    """
    if not config.judge.url:
        raise UsageError("the judge needs an endpoint: set reward.judge.url and reward.judge.model")
    return OnAnswer(LlmJudge(config.judge))


def form(config: RewardConfig) -> Reward:
    """Whether a completion has the configured form, in [0, 1]; with `max_words` half of it is the answer's length.

    Raises:
        UsageError: there is no such style.
    """
    styles = {
        "reasoning": StrictTags(("think", "answer"), empty=("think",)),
        "answer": StrictTags(("answer",)),
        "either": StrictTags(("think", "answer"), optional=("think",), empty=("think",)),
        "plain": StrictTags(()),
    }
    if config.style not in styles:
        raise UsageError(f"unknown style {config.style!r}{nearest(config.style, list(styles))}")
    tags = styles[config.style]
    return adherence([tags, MaxWords(config.max_words, answer_text)], "format") if config.max_words else tags


def formed(config: RewardConfig, answer: Reward) -> Reward:
    """`(1 − w + w · form) · answer`, with w = `form`: without the form an answer keeps the share 1 − w.

    A factor and no sum: a completion of perfect form without a right answer earns nothing, and where nobody in a group
    is right, no advantage is made of the form alone.

    Raises:
        UsageError: w is outside [0, 1].
    """
    if not 0.0 <= config.form <= 1.0:
        raise UsageError(f"reward.form must lie in [0, 1], not {config.form}")
    if config.form == 0.0:
        return Product({"answer": answer}, config.recipe)
    kept = Affine(form(config), config.form, 1.0 - config.form, name="form")
    return Product({"answer": answer, "form": kept}, config.recipe)


def answer_text(completion: str) -> str:
    """The answer in a completion; see `apps.medvqa.answers.extract`."""
    return extract(completion).text


def _cosine(config: RewardConfig) -> Reward:
    return EncoderSimilarity(config.semantic.encoder, device=config.semantic.device, name="cosine")


def _bmas(config: RewardConfig) -> Reward:
    if config.vectors:
        return Bmas(EmbeddingTable(config.vectors))
    return Bmas(WordVectors(config.semantic.encoder, config.semantic.device))


def _weighted(config: RewardConfig, parts: Mapping[str, tuple[Reward, float]]) -> Reward:
    for name in config.weights:
        if name not in parts:
            raise UsageError(f"the recipe {config.recipe!r} has no part {name!r}{nearest(name, list(parts))}")
    weighed = {name: (part, config.weights.get(name, weight)) for name, (part, weight) in parts.items()}
    kept = {name: pair for name, pair in weighed.items() if pair[1] != 0}
    if not kept:
        raise UsageError(f"every part of the recipe {config.recipe!r} has weight 0")
    return WeightedSum(kept, config.recipe)
