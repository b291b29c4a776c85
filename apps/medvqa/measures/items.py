"""Measures one answer: from an example and a completion to an `Item` with every figure that applies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from apps.medvqa.answers import CORRECT, AnswerScorer, extract
from apps.medvqa.data import Example
from apps.medvqa.measures.closed import judge_closed
from apps.medvqa.measures.evaluation import Item
from apps.medvqa.measures.text_metrics import text_scores

if TYPE_CHECKING:
    from common.models.text import Encoder


def measure(
    examples: Sequence[Example],
    completions: Sequence[str],
    scorer: AnswerScorer,
    encoder: Encoder | None = None,
    truth: bool | None = None,
) -> list[Item]:
    """One item for each example and what was said to it.

    Args:
        examples: `(N,)` questions with references.
        completions: `(N,)` whole completions.
        scorer: the medical answer scorer.
        encoder: for `similarity`; None leaves that out.
        truth: judge by the pocket world's exact truth; None: where the examples have one.
    """
    exact = bool(examples) and "phantom" in examples[0].tags if truth is None else truth
    items = [_item(*pair, scorer, exact) for pair in zip(examples, completions, strict=True)]
    if encoder is not None:
        _add_similarity(items, encoder)
    return items


def _item(example: Example, completion: str, scorer: AnswerScorer, exact: bool) -> Item:
    found, right = extract(completion), list(example.references)
    scored = scorer.score(completion, right, example.question, example.choices)
    item = Item(
        id=example.id,
        question=example.question,
        references=right,
        kind=example.kind,
        question_type=example.question_type,
        modality=example.modality,
        organ=example.organ,
        language=example.language,
        study=example.study,
        combination=example.tags.get("combination", ""),
        completion=completion,
        answer=found.text,
        form=found.form,
        veto=scored.veto,
        reason=scored.reason,
    )
    item.scores["score_any"] = scored.score
    if example.kind == "closed":
        judged = judge_closed(found.text, right, example.choices)
        item.verdict = judged.verdict
        item.scores["closed"] = float(judged.verdict == "right")
    else:
        item.scores |= {"scorer": scored.score, "right": float(scored.score >= CORRECT)}
        item.scores |= text_scores(found.text, right).values()
    if exact:
        from apps.medvqa.pocket import is_right

        value = float(is_right(example, found.text))
        item.scores |= {"truth": value, f"truth_{example.kind}": value}
    item.scores["form"] = float(found.form == "tagged")
    return item


def _add_similarity(items: Sequence[Item], encoder: Encoder) -> None:
    """BERTScore's F1 with one vector a word: each word looks for its most similar one in the other text.

    Inspired by Zhang et al. 2020 (arXiv 1904.09675): words are encoded alone, not in their sentence, so that any
    sentence encoder serves. In [-1, 1], higher is better; 0 for an empty answer.
    """
    from common.rewards.functional import tokens

    words = sorted({word for item in items for text in (item.answer, *item.references) for word in tokens(text)})
    if not words:
        return
    vectors = dict(zip(words, encoder.encode(words), strict=True))
    for item in items:
        if item.kind == "closed":
            continue
        said = tokens(item.answer)
        values = [_word_f1([vectors[w] for w in said], [vectors[w] for w in tokens(r)]) for r in item.references]
        item.scores["similarity"] = max((value for value in values if not math.isnan(value)), default=math.nan)


def _word_f1(said: Sequence, right: Sequence) -> float:  # type: ignore[type-arg]  # tensors; torch is not imported here
    import torch

    if not right:
        return math.nan
    if not said:
        return 0.0
    cosines = torch.stack(list(said)) @ torch.stack(list(right)).T
    precision, recall = cosines.amax(1).mean().item(), cosines.amax(0).mean().item()
    return 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0
