"""Beam search: exact where the beam holds everything, greedy at 1, and as a plain, slow search says in between."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from apps.captioning.beam import NBest, beam_search
from apps.captioning.mapper import Shape
from apps.captioning.model import Captioner
from common.errors import TouchstoneError, UsageError
from tests.apps.captioning.tiny import new_tiny_captioner

WORDS, END, LONGEST = 5, 0, 4


class Letters:
    """Token 0 ends; the others are letters, so that no two token sequences read the same."""

    eos_token_id, pad_token_id = END, 4

    def batch_decode(self, rows: list[list[int]], **_: Any) -> list[str]:
        return ["".join("_abcd"[token] for token in row) for row in rows]


class Mumbling(Letters):
    """Tokens 1 and 2 read the same."""

    def batch_decode(self, rows: list[list[int]], **_: Any) -> list[str]:
        return [text.replace("b", "a") for text in super().batch_decode(rows)]


def tiny_vocabulary(seed: int, tokenizer: Any = None) -> Captioner:
    from transformers import GPT2Config, GPT2LMHeadModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        decoder = GPT2LMHeadModel(
            GPT2Config(vocab_size=WORDS, n_positions=16, n_embd=16, n_layer=2, n_head=2, initializer_range=0.4)
        )
        return Captioner(Shape(8, 16, prefix_length=2), decoder, tokenizer or Letters()).eval()


def some(rows: int, width: int = 8, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 4 * torch.nn.functional.normalize(torch.randn(rows, width, generator=generator), dim=-1)


@torch.no_grad()
def log_probs(captioner: Captioner, feature: Tensor, captions: list[tuple[int, ...]]) -> dict[tuple[int, ...], float]:
    longest = max(map(len, captions))
    tokens = torch.tensor([(*caption, *[captioner.pad] * (longest - len(caption))) for caption in captions])
    mask = torch.arange(longest) < torch.tensor([len(caption) for caption in captions]).unsqueeze(1)
    chances = captioner.log_probs(feature.expand(len(captions), -1), tokens)
    return dict(zip(captions, (chances * mask).sum(1).tolist(), strict=True))


def every_caption() -> list[tuple[int, ...]]:
    """All that end within LONGEST tokens, and all that are cut there."""
    letters = [token for token in range(WORDS) if token != END]
    ended = [(*words, END) for length in range(LONGEST) for words in product(letters, repeat=length)]
    return ended + list(product(letters, repeat=LONGEST))


def slow_search(captioner: Captioner, feature: Tensor, beam: int, penalty: float) -> list[tuple[float, tuple]]:
    """The definition, without a cache, a batch or tensors of hypotheses."""

    kept: list[tuple[float, tuple]] = [(0.0, ())]
    for _ in range(LONGEST):
        ended = [entry for entry in kept if entry[1] and entry[1][-1] == END]
        longer = [(*old, new) for _, old in kept if not (old and old[-1] == END) for new in range(WORDS)]
        chances = log_probs(captioner, feature, longer) if longer else {}
        scored = [(chance / len(tokens) ** penalty, tokens) for tokens, chance in chances.items()]
        kept = sorted([*ended, *scored], key=lambda entry: -entry[0])[:beam]
    return kept


@pytest.mark.parametrize("penalty", [0.0, 0.7, 1.0])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_beam_that_holds_everything_finds_the_best_of_all_captions(seed, penalty):
    captioner, features = tiny_vocabulary(seed), some(2, seed=seed)
    captions = every_caption()
    found = beam_search(captioner, features, LONGEST, beam=len(captions), length_penalty=penalty)
    for feature, best in zip(features, found, strict=True):
        plain = log_probs(captioner, feature, captions)
        chances = {tokens: chance / len(tokens) ** penalty for tokens, chance in plain.items()}
        ranking = sorted(chances.values(), reverse=True)
        assert len(best.scores) == len(captions)
        assert torch.allclose(best.scores, torch.tensor(ranking), atol=1e-4)
        first = tuple(best.captions.tokens[0][best.captions.mask[0]].tolist())
        assert chances[first] == pytest.approx(ranking[0], abs=1e-4)
    if penalty == 0:
        # The chances of all captions add up to 1: none is missing and none counts twice.
        assert math.isclose(float(found[0].scores.exp().sum()), 1, abs_tol=1e-4)


@pytest.mark.parametrize("beam", [2, 3, 5, 9])
@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_it_is_the_plain_search_whatever_the_beam(beam, penalty):
    captioner, features = tiny_vocabulary(3), some(6, seed=3)
    for feature, found in zip(features, beam_search(captioner, features, LONGEST, beam, penalty), strict=True):
        wanted = slow_search(captioner, feature, beam, penalty)
        rows = zip(found.captions.tokens, found.captions.mask, strict=True)
        assert [tuple(tokens[mask].tolist()) for tokens, mask in rows] == [tokens for _, tokens in wanted]
        assert found.scores.tolist() == pytest.approx([score for score, _ in wanted], abs=1e-4)


@pytest.mark.parametrize("mapper", ["mlp", "transformer"])
def test_a_beam_of_one_is_greedy_token_for_token(mapper):
    captioner, features = new_tiny_captioner(mapper=mapper), some(9, 32)
    greedy = captioner.generate(features, 20)
    for row, found in enumerate(beam_search(captioner, features, 20, beam=1)):
        assert found.captions.tokens[0].tolist() == greedy.tokens[row][greedy.mask[row]].tolist()
        assert found.text == greedy.texts[row]
        said = tuple(found.captions.tokens[0].tolist())
        assert float(found.scores[0]) == pytest.approx(log_probs(captioner, features[row], [said])[said], abs=1e-3)


def test_a_wider_beam_starts_no_worse_than_greedy_on_a_short_horizon():
    captioner, features = tiny_vocabulary(5), some(20, seed=5)
    wide = beam_search(captioner, features, LONGEST, beam=200)
    greedy = beam_search(captioner, features, LONGEST, beam=1)
    assert all(one.scores[0] >= other.scores[0] - 1e-4 for one, other in zip(wide, greedy, strict=True))


@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_scores_fall_texts_differ_and_nothing_follows_the_end(penalty):
    captioner, features = tiny_vocabulary(2), some(30, seed=1)
    lengths = set()
    for found in beam_search(captioner, features, 12, beam=6, length_penalty=penalty):
        assert (found.scores.diff() <= 0).all()
        assert len(set(found.captions.texts)) == len(found.captions.texts) == len(found.scores)
        for tokens, mask in zip(found.captions.tokens, found.captions.mask, strict=True):
            said = tokens[mask].tolist()
            assert captioner.end not in said[:-1]
            assert set(tokens[~mask].tolist()) <= {captioner.pad}
            lengths.add(len(said))
    assert len(lengths) > 3


def test_a_batch_finds_what_single_pictures_find():
    captioner, features = new_tiny_captioner(seed=2), some(7, 32, seed=2)
    small, others = tiny_vocabulary(4), some(30, seed=4)
    for model, seen in ((captioner, features), (small, others)):
        together = beam_search(model, seen, 12, beam=4)
        batches = [beam_search(model, seen[start : start + 4], 12, beam=4) for start in range(0, len(seen), 4)]
        assert_alike(together, [found for batch in batches for found in batch])
        assert_alike(together, [beam_search(model, seen[row : row + 1], 12, beam=4)[0] for row in range(len(seen))])


def assert_alike(together: list[NBest], alone: list[NBest]) -> None:
    for found, other in zip(together, alone, strict=True):
        assert other.captions.texts == found.captions.texts
        assert torch.allclose(other.scores, found.scores, atol=1e-4)


def test_captions_that_read_the_same_are_told_once():
    captioner, features = tiny_vocabulary(0, Mumbling()), some(3)
    for found in beam_search(captioner, features, LONGEST, beam=300):
        assert len(set(found.captions.texts)) == len(found.captions.texts)
        assert len(found.captions.texts) < len(every_caption())


def test_a_beam_wider_than_the_vocabulary_invents_no_hypotheses():
    captioner = tiny_vocabulary(0)
    found = beam_search(captioner, some(1), 1, beam=50)[0]
    assert len(found.captions.texts) == WORDS
    assert found.scores.isfinite().all()


def test_no_pictures_and_bad_settings():
    captioner = tiny_vocabulary(0)
    assert beam_search(captioner, torch.empty(0, 8), LONGEST) == []
    for beam, longest, penalty in ((0, 4, 0.0), (2, 0, 0.0), (2, 4, math.nan)):
        with pytest.raises(UsageError):
            beam_search(captioner, some(1), longest, beam, penalty)
    with torch.no_grad():
        captioner.decoder.lm_head.weight.fill_(math.nan)
    with pytest.raises(TouchstoneError, match="not numbers"):
        beam_search(captioner, some(1), LONGEST, beam=2)
