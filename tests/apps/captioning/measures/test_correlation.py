"""Agreement with people on Flickr8k-Expert, beside the published figures (aimagelab/pacscore, README)."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from apps.captioning.measures.java import meteor, meteor_statistics
from common.ptb import tokenize
from common.rewards.text import ngrams
from common.rewards.text.cider import corpus_cider_d
from common.rewards.text.ngrams import Tokens
from common.stats import auc, kendall

#: Kendall's tau-b and tau-c, times 100.
PUBLISHED = {
    "bleu1": (32.175, 32.324),
    "bleu4": (30.599, 30.776),
    "rouge_l": (32.139, 32.314),
    "cider_d": (43.602, 43.891),
    "meteor": (41.538, 41.822),
}


class Expert:
    """5,664 captions with three grades each; those of the picture itself are left out, as in the published figures."""

    def __init__(self, folder: Path) -> None:
        texts: dict[str, Tokens] = {}
        own: dict[str, list[Tokens]] = defaultdict(list)
        for line in (folder / "Flickr8k.token.txt").read_text("utf-8").splitlines():
            key, text = line.split("\t")
            texts[key] = tokenize(text)
            own[key.partition("#")[0]].append(texts[key])
        rows = [line.split() for line in (folder / "ExpertAnnotations.txt").read_text("utf-8").splitlines()]
        rows = [row for row in rows if not row[1].startswith(row[0])]
        self.candidates = [texts[row[1]] for row in rows]
        self.references = [own[row[0]] for row in rows]
        self.grades = np.array([row[2:] for row in rows], float)

    def agreement(self, values: Sequence[float]) -> tuple[float, float]:
        return taus(np.repeat(np.asarray(values), 3), self.grades.ravel())


def taus(scores: np.ndarray, grades: np.ndarray) -> tuple[float, float]:
    """Kendall's tau-b and tau-c of scores and few grades, from the AUC of each two grades: fast for many rows."""
    levels, counts = np.unique(grades, return_counts=True)
    surplus = 0.0
    for low in range(len(levels)):
        for high in range(low + 1, len(levels)):
            both = np.isin(grades, levels[[low, high]])
            surplus += counts[low] * counts[high] * (2 * auc(scores[both], grades[both] == levels[high]) - 1)
    size, pairs = len(scores), len(scores) * (len(scores) - 1) / 2
    tied = [float((sizes * (sizes - 1) / 2).sum()) for sizes in (np.unique(scores, return_counts=True)[1], counts)]
    tau_b = surplus / np.sqrt((pairs - tied[0]) * (pairs - tied[1]))
    return 100 * tau_b, 100 * 2 * surplus / (size**2 * (len(levels) - 1) / len(levels))


@pytest.fixture(scope="module")
def expert(shared: Path) -> Expert:
    return Expert(shared / "data/flickr8k_text")


def test_the_fast_tau_is_kendalls() -> None:
    rng = np.random.default_rng(0)
    grades = rng.integers(1, 5, 500).astype(float)
    scores = np.round(grades + rng.normal(size=500), 1)
    assert taus(scores, grades)[0] / 100 == pytest.approx(kendall(scores, grades), abs=1e-12)


def test_bleu_rouge_and_cider_agree_with_people_as_published(expert: Expert) -> None:
    pairs = list(zip(expert.candidates, expert.references, strict=True))
    assert len(pairs) == 5664
    values = {
        "bleu1": [ngrams.sentence_bleu(text, right, 1) for text, right in pairs],
        "bleu4": [ngrams.sentence_bleu(text, right, 4) for text, right in pairs],
        "rouge_l": [ngrams.rouge_l(text, right) for text, right in pairs],
        "cider_d": corpus_cider_d(expert.candidates, expert.references),
    }
    for name, found in values.items():
        assert expert.agreement(found) == pytest.approx(PUBLISHED[name], abs=6e-4), name


@pytest.mark.slow
def test_meteor_agrees_with_people_as_published(expert: Expert) -> None:
    pytest.importorskip("pycocoevalcap")
    if shutil.which("java") is None:
        pytest.skip("no Java")
    values = meteor(meteor_statistics(expert.candidates, expert.references))
    assert expert.agreement(values.tolist()) == pytest.approx(PUBLISHED["meteor"], abs=6e-4)
