"""Scored answers a second, against an encoder's similarity and ROUGE-L, in one run on one core."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Sequence

import pytest

from apps.medvqa.answers import AnswerScorer
from apps.medvqa.pocket import load_pocket

pytestmark = pytest.mark.benchmark

Row = tuple[str, str, str]


def rows() -> list[Row]:
    """Answers that differ from one another: each reference against eight phrases around other references."""
    examples = load_pocket("train", 600, seed=3, pictures=False)
    answers = [example.answer for example in examples]
    rng = random.Random(0)
    around = (
        "{}",
        "{}.",
        "There is {}",
        "{} is seen",
        "I see {}",
        "probably {}",
        "It shows {}.",
        "{} on this picture",
    )
    return [
        (phrase.format(rng.choice(answers)), example.answer, example.question)
        for example, phrase in itertools.product(examples, around)
    ]


def rate(score: Callable[[Sequence[Row]], object], given: Sequence[Row]) -> float:
    """Rows a second of CPU time, the best of three passes over rows that were not seen before."""
    best = 0.0
    for turn in range(3):
        fresh = [(f"{answer} {'!' * (turn + 1)}", reference, question) for answer, reference, question in given]
        began = time.process_time()
        score(fresh)
        best = max(best, len(fresh) / (time.process_time() - began))
    return best


def test_answers_scored_a_second(capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    from common.models.text import load_encoder
    from common.rewards.functional import tokens
    from common.rewards.text.ngrams import rouge_l

    torch.set_num_threads(1)
    given = rows()
    scorer = AnswerScorer()
    encoder = load_encoder("hash")

    def similarity(part: Sequence[Row]) -> None:
        said, right = encoder.encode([row[0] for row in part]), encoder.encode([row[1] for row in part])
        (said * right).sum(1).tolist()

    scorer.score(*given[0])
    ours = rate(lambda part: [scorer.score(*row) for row in part], given)
    rouge = rate(lambda part: [rouge_l(tokens(row[0]), [tokens(row[1])], beta=1.0) for row in part], given)
    hashed = rate(similarity, given)
    with capsys.disabled():
        print(f"\nanswers a second on one core: ours {ours:,.0f}, ROUGE-L {rouge:,.0f}, hash encoder {hashed:,.0f}")
    assert ours >= 5_000
