"""Behaviour cases, questions with answers in tiers, and how many of their pairs a reward puts in the right order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from apps.medvqa.reward_config import Recipe, RewardConfig, SemanticConfig
from common.errors import DataError
from common.files import read_jsonl
from common.rewards.base import Reward


@dataclass(frozen=True)
class Case:
    """One question with answers in tiers; a higher tier is a better answer, within a tier there is no order."""

    name: str
    question: str
    reference: str
    answers: tuple[str, ...]
    tiers: tuple[int, ...]

    def pairs(self) -> Iterator[tuple[int, int]]:
        """Places of a better and a worse answer, for every pair of different tiers."""
        for better, high in enumerate(self.tiers):
            yield from ((better, worse) for worse, low in enumerate(self.tiers) if low < high)


@dataclass(frozen=True)
class Ordering:
    """How a reward orders cases.

    Attributes:
        right: pairs of answers of different tiers of which the better one scores strictly higher.
        pairs: all of them.
        whole: cases of which every pair is right.
        cases: all of them.
    """

    right: int
    pairs: int
    whole: int
    cases: int


def read_cases(path: Path | str) -> list[Case]:
    """Behaviour cases, one JSON object a line: `name`, `question`, `reference`, `answers` (`text`, `tier`).

    Raises:
        DataError: names the line that is no case.
    """
    cases = []
    for line, row in read_jsonl(path):
        try:
            texts = tuple(str(one["text"]) for one in row["answers"])
            tiers = tuple(int(one["tier"]) for one in row["answers"])
            cases.append(Case(str(row["name"]), str(row["question"]), str(row["reference"]), texts, tiers))
        except (KeyError, TypeError, ValueError) as error:
            needed = "name, question, reference, answers of text and tier"
            raise DataError(f"this is no behaviour case ({needed}): {error!r}", path=path, line=line) from error
    if not cases:
        raise DataError("there are no cases in it", path=path)
    return cases


def order_cases(reward: Reward, cases: Sequence[Case]) -> Ordering:
    """Score all answers of all cases in one batch, a case being a group, and count; a NaN is higher than nothing."""
    rows = [(number, case, text) for number, case in enumerate(cases) for text in case.answers]
    output = reward(
        completion=[text for _, _, text in rows],
        reference=[case.reference for _, case, _ in rows],
        question=[case.question for _, case, _ in rows],
        kind=["open"] * len(rows),
        group=[number for number, _, _ in rows],
    )
    scores = iter(output.values.tolist())
    ordered = []
    for case in cases:
        values = [next(scores) for _ in case.answers]
        ordered.append([values[better] > values[worse] for better, worse in case.pairs()])
    return Ordering(sum(map(sum, ordered)), sum(map(len, ordered)), sum(map(all, ordered)), len(cases))


def scorers(semantic: SemanticConfig, vectors: str = "") -> dict[str, Reward]:
    """The usual scorers and ours by name, without any form: most of the cases' answers have no tags.

    Args:
        semantic: the encoder of cosine, threshold and ours; words for BMAS come through it too.
        vectors: folder of a model whose embedding table BMAS takes instead.
    """
    from apps.medvqa.rewards import RECIPES

    config = RewardConfig(form=0.0, vectors=vectors, semantic=semantic)
    names: tuple[Recipe, ...] = (
        "exact_match",
        "rouge_l",
        "token_f1",
        "bmas",
        "cosine",
        "threshold",
        "scorer",
        "adaptive",
    )
    return {name: RECIPES[name](replace(config, recipe=name)) for name in names}
