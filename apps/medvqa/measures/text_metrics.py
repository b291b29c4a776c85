r"""Text metrics of medical question answering, each defined here in words, because tools differ in them.

Let c be the answer and r a reference, as words (`functional.tokens`: Unicode-normalised, lower case, no punctuation;
characters in scripts without spaces). Overlap metrics drop the articles a, an and the; BLEU and ROUGE do not.

| field | definition | several references |
|---|---|---|
| `exact` | 1 where c and r are the same words, articles aside; else 0 | any |
| `precision` | words shared (bags: each as often as in both) / words of c | of the one with the best F1 |
| `recall` | words shared (bags) / words of r | of the one with the best F1 |
| `f1` | 2 PR / (P + R) | best |
| `open_recall` | different words of r that are in c / different words of r (LLaVA-Med, open questions) | best |
| `bleu1` ... `bleu4` | sentence BLEU, 1 added to the counts of orders above 1 (Lin & Och 2004) | clipped by all |
| `rouge1`, `rouge2` | F1 of bags of words, of pairs of words (Lin 2004, beta = 1) | best |
| `rouge_l` | F1 of the longest common subsequence (Lin 2004, beta = 1) | best |

All are in [0, 1], higher is better, and 0 for an answer without a word. A one-word text has no pair of words, so its
`rouge2` is 0 even where it is right, as in Lin's tool; BLEU's added 1 makes `bleu4` of a short text that is partly
right greater than its `bleu1`. Without a reference nothing can be scored: NaN.

The accuracy on closed questions is in `closed.judge_closed`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from apps.medvqa.measures.closed import same_words, without_articles
from common.rewards.functional import tokens
from common.rewards.text.ngrams import bleu, bleu_statistics, rouge_l
from common.rewards.text.rouge import rouge_n


@dataclass(frozen=True)
class Overlap:
    """Shared words of an answer and a reference; every figure by its name, so that none can be taken for another."""

    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class TextScores:
    """The metrics of one answer; see the module for each."""

    exact: float
    precision: float
    recall: float
    f1: float
    open_recall: float
    bleu1: float
    bleu2: float
    bleu3: float
    bleu4: float
    rouge1: float
    rouge2: float
    rouge_l: float

    def values(self) -> dict[str, float]:
        """Figures by name."""
        return asdict(self)


#: Names of the metrics, in order.
METRICS = tuple(TextScores.__dataclass_fields__)


def text_scores(answer: str, references: Sequence[str]) -> TextScores:
    """All metrics of one answer.

    Args:
        answer: without reasoning and tags.
        references: right answers, the first of them the reference proper.

    Returns:
        In [0, 1] each; all NaN where there is no reference with a word.
    """
    words, right = tokens(answer), [tokens(reference) for reference in references]
    right = [reference for reference in right if reference]
    if not right:
        return TextScores(*[math.nan] * len(METRICS))
    best = max((overlap(answer, reference) for reference in references), key=lambda one: one.f1)
    return TextScores(
        exact=float(any(same_words(answer, reference) for reference in references)),
        precision=best.precision,
        recall=best.recall,
        f1=best.f1,
        open_recall=max(open_recall(answer, reference) for reference in references),
        **{f"bleu{order}": value for order, value in enumerate(sentence_bleus(words, right), start=1)},
        rouge1=rouge_n(words, right, 1),
        rouge2=rouge_n(words, right, 2),
        rouge_l=max(rouge_l(words, [reference], beta=1.0) for reference in right),
    )


def overlap(answer: str, reference: str) -> Overlap:
    """Precision, recall and F1 on bags of words, articles aside; 0 where either has no word."""
    said, wanted = (Counter(tokens(without_articles(text))) for text in (answer, reference))
    shared = (said & wanted).total()
    if not shared:
        return Overlap(0.0, 0.0, 0.0)
    precision, recall = shared / said.total(), shared / wanted.total()
    return Overlap(precision, recall, 2 * precision * recall / (precision + recall))


def open_recall(answer: str, reference: str) -> float:
    """Share of the reference's different words that are in the answer, articles aside; 0 for one without words."""
    said, wanted = (set(tokens(without_articles(text))) for text in (answer, reference))
    return len(said & wanted) / len(wanted) if wanted else 0.0


def sentence_bleus(words: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
    """BLEU-1 to BLEU-4 of one text, smoothed; 0 where it shares no word with any reference."""
    if not set(words) & {word for reference in references for word in reference}:
        return [0.0] * 4
    return [float(value) for value in bleu(bleu_statistics(words, references, 4), smooth=True)]
