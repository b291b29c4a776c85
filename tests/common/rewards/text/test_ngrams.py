"""BLEU, ROUGE-L and CIDEr-D: equal to pycocoevalcap's, published counts, and the reward contract."""

from __future__ import annotations

import math
import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import DataError, RewardError, UsageError
from common.rewards import check_reward
from common.rewards.text import ngrams
from common.rewards.text.captions import Bleu, CiderD, NgramReward, RougeL
from common.rewards.text.cider import DocumentFrequency, corpus_cider_d

WORDS = ["a", "dog", "cat", "runs", "sits", "on", "the", "red", "sofa", "in", "park"]
captions = st.lists(st.sampled_from(WORDS), min_size=1, max_size=14).map(" ".join)
pictures = st.lists(st.tuples(captions, st.lists(captions, min_size=1, max_size=5)), min_size=2, max_size=6)

CORPUS = [["a dog runs in the park", "the dog is running"], ["a cat on a sofa"], ["a red sofa", "a sofa in a room"]]
FREQUENCY = DocumentFrequency.from_references(CORPUS)
REWARDS: list[NgramReward] = [Bleu(1), Bleu(4), Bleu(4, smooth=True), RougeL(), CiderD(FREQUENCY)]
COLUMNS = {
    "completion": ["A dog runs.", "a cat on a sofa", "a red car", "a sofa in the room"],
    "reference": [CORPUS[0], "a cat on a sofa", CORPUS[2], CORPUS[2]],
}


def split(rows: list[tuple[str, list[str]]]) -> tuple[list[list[str]], list[list[list[str]]]]:
    return [text.split() for text, _ in rows], [[one.split() for one in right] for _, right in rows]


class TestEqualsPycocoevalcap:
    @settings(max_examples=150, deadline=None)
    @given(pictures)
    def test_cider(self, rows: list[tuple[str, list[str]]]) -> None:
        theirs = pytest.importorskip("pycocoevalcap.cider.cider").Cider()
        gts, res = {at: right for at, (_, right) in enumerate(rows)}, {at: [text] for at, (text, _) in enumerate(rows)}
        mean, each = theirs.compute_score(gts, res)
        ours = corpus_cider_d(*split(rows))
        assert ours == pytest.approx(each, abs=1e-9)
        assert np.mean(ours) == pytest.approx(mean, abs=1e-9)

    @settings(max_examples=150, deadline=None)
    @given(pictures)
    def test_bleu(self, rows: list[tuple[str, list[str]]]) -> None:
        theirs = pytest.importorskip("pycocoevalcap.bleu.bleu").Bleu()
        gts, res = {at: right for at, (_, right) in enumerate(rows)}, {at: [text] for at, (text, _) in enumerate(rows)}
        whole, each = theirs.compute_score(gts, res, verbose=0)
        candidates, references = split(rows)
        assert ngrams.corpus_bleu(candidates, references) == pytest.approx(whole, abs=1e-12)
        for n in range(1, 5):
            ours = [ngrams.sentence_bleu(one, right, n) for one, right in zip(candidates, references, strict=True)]
            assert ours == pytest.approx(each[n - 1], abs=1e-12)

    @settings(max_examples=150, deadline=None)
    @given(pictures)
    def test_rouge(self, rows: list[tuple[str, list[str]]]) -> None:
        theirs = pytest.importorskip("pycocoevalcap.rouge.rouge").Rouge()
        ours = [ngrams.rouge_l(one, right) for one, right in zip(*split(rows), strict=True)]
        assert ours == pytest.approx([theirs.calc_score([text], right) for text, right in rows], abs=1e-12)


def test_bleu_from_the_published_counts_of_the_coco_fixture() -> None:
    """tylin/coco-caption's notebook: guesses, matches and lengths of 1,000 captions."""
    counts = [9893, 9855, 9893, 8893, 7893, 6893, 5732, 2510, 1043, 423]
    assert [f"{value:.3f}" for value in ngrams.bleu(counts)] == ["0.579", "0.404", "0.279", "0.191"]


def test_the_published_digits_of_nlg_eval_for_one_sentence() -> None:
    candidate = ["this", "is", "a", "good", "test"]
    references = [["this", "is", "a", "test"], ["this", "is", "also", "a", "test"]]
    expected = [0.799999, 0.632455, 0.5108729, 9.03602e-5]
    assert ngrams.corpus_bleu([candidate], [references]) == pytest.approx(expected, rel=1e-5)
    assert ngrams.rouge_l(candidate, references) == pytest.approx(0.9070631, abs=1e-7)
    assert corpus_cider_d([candidate], [references]) == [0.0]


class TestPureFunctions:
    def test_the_closest_reference_decides_brevity_and_the_shorter_of_two(self) -> None:
        row = ngrams.bleu_statistics(["a", "b", "c"], [["a", "b"], ["a", "b", "c", "d"]])
        assert row.tolist()[:2] == [3, 2]

    def test_a_long_caption_is_not_paid_for_repeating(self) -> None:
        assert ngrams.sentence_bleu(["the"] * 180, [["the", "cat"]], 1) == pytest.approx(1 / 180)

    def test_empty_texts_score_0_and_warn_of_nothing(self) -> None:
        with np.errstate(all="raise", under="ignore"):
            assert ngrams.sentence_bleu([], [["a"]]) == 0.0
            assert ngrams.sentence_bleu([], [[]]) == 0.0
        assert ngrams.rouge_l([], [["a"], []]) == 0.0
        assert ngrams.rouge_l([], [[]]) == 0.0
        assert corpus_cider_d([[], ["a"]], [[["a"]], [["b"]]])[0] == 0.0

    def test_smoothing_tells_sentences_without_a_right_4_gram_apart(self) -> None:
        right = [["a", "dog", "runs", "in", "the", "park"]]
        near, far = ["a", "dog", "runs", "on", "the", "grass"], ["the", "cat", "sits", "on", "a", "sofa"]
        assert ngrams.sentence_bleu(near, right) < 0.01
        assert ngrams.sentence_bleu(near, right, smooth=True) > 1.5 * ngrams.sentence_bleu(far, right, smooth=True) > 0
        assert ngrams.sentence_bleu(right[0], right, smooth=True) == pytest.approx(1.0)

    @given(st.lists(st.sampled_from("abcd"), max_size=20), st.lists(st.sampled_from("abcd"), max_size=20))
    def test_the_longest_common_subsequence(self, first: list[str], second: list[str]) -> None:
        table = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
        for i, one in enumerate(first, 1):
            for j, two in enumerate(second, 1):
                same = table[i - 1][j - 1] + 1
                table[i][j] = same if one == two else max(table[i - 1][j], table[i][j - 1])
        assert ngrams.longest_common_subsequence(first, second) == table[-1][-1]

    def test_a_reference_that_stands_twice_changes_only_ciders_mean(self) -> None:
        text, right = ["a", "dog", "runs", "fast"], [["a", "dog", "runs"], ["the", "dog"]]
        twice = [*right, right[0]]
        assert ngrams.rouge_l(text, twice) == ngrams.rouge_l(text, right)
        assert ngrams.sentence_bleu(text, twice) == ngrams.sentence_bleu(text, right)
        assert (
            DocumentFrequency.from_tokens([twice, [["a"]]]).counts
            == DocumentFrequency.from_tokens([right, [["a"]]]).counts
        )

    def test_an_unknown_tokenizer_is_named(self) -> None:
        with pytest.raises(UsageError, match="'ptb', 'words' or 'blanks'"):
            ngrams.find_tokenizer("bpe")


class TestDocumentFrequency:
    def test_pictures_are_counted_not_references(self) -> None:
        assert FREQUENCY.documents == 3
        assert FREQUENCY.counts[("a",)] == 3
        assert FREQUENCY.counts[("a", "sofa")] == 2
        assert ("dog",) not in FREQUENCY.counts  # of one picture: weighs like an unseen one
        assert FREQUENCY.weight(("dog",)) == FREQUENCY.weight(("unseen",)) == pytest.approx(math.log(3))
        assert FREQUENCY.weight(("a",)) == 0.0

    def test_saved_and_read_it_scores_the_same(self, tmp_path: Path) -> None:
        path = FREQUENCY.save(tmp_path / "df.json")
        again = DocumentFrequency.load(path)
        assert (again.documents, again.counts, again.tokenizer) == (3, FREQUENCY.counts, "ptb")
        assert torch.equal(CiderD(path)(**COLUMNS).values, CiderD(FREQUENCY)(**COLUMNS).values)

    @pytest.mark.parametrize(
        "content",
        [
            "[]",
            '{"format": "other"}',
            '{"format": "touchstone document frequency 1", "documents": 3}',
            '{"format": "touchstone document frequency 1", "documents": 3, "tokenizer": "ptb", "counts": {"a": 4}}',
        ],
    )
    def test_a_broken_file_is_named(self, content: str, tmp_path: Path) -> None:
        (tmp_path / "df.json").write_text(content)
        with pytest.raises(DataError, match=r"df\.json"):
            DocumentFrequency.load(tmp_path / "df.json")

    def test_one_picture_is_warned_of_and_refused_by_the_reward(self, caplog: pytest.LogCaptureFixture) -> None:
        lone = DocumentFrequency.from_references([["a dog"]])
        assert "single picture" in caplog.text
        with pytest.raises(RewardError, match="single picture"):
            CiderD(lone)


@pytest.mark.parametrize("reward", REWARDS, ids=lambda one: f"{one.name}-{getattr(one, 'smooth', '')}")
class TestRewards:
    def test_the_contract(self, reward: NgramReward) -> None:
        check_reward(reward, COLUMNS)

    def test_failures(self, reward: NgramReward) -> None:
        rows: dict[str, list[Any]] = {
            "completion": ["", " ... ", "a dog", "a dog", "", "a dog"],
            "reference": ["a dog", ["a dog"], "", None, [], ["", "..."]],
        }
        output = reward(**rows)
        assert output.values[:2].tolist() == [0.0, 0.0]
        assert output.values[2:].isnan().all()
        assert output.info["reason"][0] == "the completion holds no word"
        assert "no reference" in output.info["reason"][2]

    def test_a_text_and_a_list_of_it_are_the_same(self, reward: NgramReward) -> None:
        one = reward(completion=["a cat on a sofa"], reference=["a cat sits on a sofa"])
        two = reward(completion=["a cat on a sofa"], reference=[["a cat sits on a sofa"]])
        assert torch.equal(one.values, two.values)
        assert 0 < one.values.item() <= reward.bounds[1]

    def test_another_column(self, reward: NgramReward) -> None:
        twin = pickle.loads(pickle.dumps(reward))
        twin.reference, twin.needs = "captions", ("completion", "captions")
        columns = {"completion": COLUMNS["completion"], "captions": COLUMNS["reference"]}
        assert torch.equal(twin(**columns).values, reward(**COLUMNS).values)


class TestCiderDAsAReward:
    def test_values_do_not_depend_on_the_batch(self) -> None:
        rng = random.Random(0)
        rows = [" ".join(rng.choices(WORDS, k=rng.randint(1, 12))) for _ in range(20)]
        right = [CORPUS[rng.randrange(3)] for _ in rows]
        batch = CiderD(FREQUENCY)(completion=rows, reference=right).values
        single = torch.cat(
            [CiderD(FREQUENCY)(completion=[a], reference=[b]).values for a, b in zip(rows, right, strict=True)]
        )
        assert torch.equal(batch, single)

    def test_it_is_bounded_by_10_for_the_reference_itself(self) -> None:
        text = "a dog runs in the park"
        assert CiderD(FREQUENCY)(completion=[text], reference=[text]).values.item() == pytest.approx(10.0)

    def test_few_kept_references_change_nothing(self) -> None:
        small = CiderD(FREQUENCY, prepared=1)
        assert torch.equal(small(**COLUMNS).values, CiderD(FREQUENCY)(**COLUMNS).values)
        assert len(small._kept) == 1

    def test_it_equals_the_corpus_function_on_the_evaluated_set(self) -> None:
        texts = ["a dog runs.", "The cat on a sofa", "a red sofa"]
        cut = ngrams.find_tokenizer("ptb")
        ours = corpus_cider_d([cut(text) for text in texts], [[cut(one) for one in right] for right in CORPUS])
        reward = CiderD(FREQUENCY)(completion=texts, reference=CORPUS).values
        assert reward.tolist() == pytest.approx(ours, rel=1e-6)


def test_bleu_of_no_order_is_refused() -> None:
    with pytest.raises(RewardError, match="order"):
        Bleu(0)
