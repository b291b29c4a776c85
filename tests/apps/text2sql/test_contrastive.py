"""The contrastive score: its formula, its negatives, what pasting earns, and the encoder trained by our own code."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from apps.text2sql.data import Example
from apps.text2sql.meaning.mutations import mutate
from apps.text2sql.meaning.verbalise import verbalise
from apps.text2sql.parts import components
from apps.text2sql.parts.components import ContrastiveSemantic
from apps.text2sql.parts.contrastive import contrastive_scores, gold_pool, reading
from apps.text2sql.parts.grading import Grader, schema_of
from apps.text2sql.pretraining.encoder import collect, measure_encoder, train_encoder
from common.errors import DataError
from common.models.text import load_encoder
from tests.apps.text2sql.reward_world import GOLD, QUESTION, RIGHT, WRONG, build, rows

GERMAN = "Zeige die Namen der Sänger über 30 aus France."
PAIRS = [
    (QUESTION, GERMAN, GOLD),
    ("How many singers are there?", "Wie viele Sänger gibt es?", "SELECT count(*) FROM singer"),
    ("What is the average age of singers from Spain?", "Wie hoch ist das Durchschnittsalter der Sänger aus Spain?",
     "SELECT avg(age) FROM singer WHERE country = 'Spain'"),
    ("What is the age of the oldest singer?", "Wie alt ist der älteste Sänger?", "SELECT max(age) FROM singer"),
    ("What is the age of the youngest singer?", "Wie alt ist der jüngste Sänger?", "SELECT min(age) FROM singer"),
    ("List the countries of the singers without repeats.", "Liste die Länder der Sänger ohne Wiederholungen auf.",
     "SELECT DISTINCT country FROM singer"),
    ("Show the names of the three oldest singers.", "Zeige die Namen der drei ältesten Sänger.",
     "SELECT name FROM singer ORDER BY age DESC LIMIT 3"),
    ("How many concerts took place in each city?", "Wie viele Konzerte fanden in jeder Stadt statt?",
     "SELECT city, count(*) FROM concert GROUP BY city"),
    ("Which singers gave a concert in 2014?", "Welche Sänger gaben 2014 ein Konzert?",
     "SELECT T1.name FROM singer AS T1 JOIN concert AS T2 ON T1.id = T2.singer_id WHERE T2.year = 2014"),
    ("Which singers never gave a concert?", "Welche Sänger gaben nie ein Konzert?",
     "SELECT name FROM singer WHERE id NOT IN (SELECT singer_id FROM concert)"),
]  # fmt: skip


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def examples(path: Path) -> list[Example]:
    return [
        Example(f"{number}-{language}", question, language, "music", path, sql, parallel=str(number))
        for number, (english, german, sql) in enumerate(PAIRS)
        for language, question in (("en", english), ("de", german))
    ]


@pytest.fixture(scope="module")
def trained(examples: list[Example], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("encoder")
    return folder, train_encoder(examples, folder, examples, seed=0, steps=120, command="make it")


@pytest.fixture(scope="module")
def reward(trained: tuple[Path, dict[str, Any]], examples: list[Example]) -> ContrastiveSemantic:
    return ContrastiveSemantic(Grader(), str(trained[0]), gold_pool(examples))


def unit(*numbers: float) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.tensor(numbers, dtype=torch.float32), dim=0)


def test_formula() -> None:
    question, near, far = unit(1, 0), unit(1, 0.1), unit(0, 1)
    negatives = torch.stack([far, near])
    mask = torch.tensor([[True, True], [True, False], [False, False]])
    scores = contrastive_scores(question.repeat(3, 1), near.repeat(3, 1), negatives.repeat(3, 1, 1), mask).tolist()
    cosine = float(question @ near)
    expected = math.exp(cosine / 0.05) / (math.exp(cosine / 0.05) + math.exp(0.0))
    assert scores[0] == pytest.approx(0.5, abs=1e-4), "beside its own copy"
    assert scores[1] == pytest.approx(expected)
    assert scores[2] == 1.0


def test_negatives_differ_from_the_gold_and_depend_on_it_alone(path: Path, examples: list[Example]) -> None:
    schema = schema_of(path)
    pool = gold_pool(examples)[str(path)]
    texts = reading(GOLD, schema, others=pool).negatives
    assert texts == reading(GOLD, schema, others=tuple(reversed(pool))).negatives
    assert len(set(texts)) == len(texts) == 9
    assert verbalise(GOLD, schema, values={"france"}) not in texts
    assert all("show" in text for text in texts)
    # The gold in other words is no negative.
    assert reading(GOLD, schema, others=[RIGHT[1]], mutants=0).negatives == ()


def test_right_answers_score_high_in_both_languages(reward: ContrastiveSemantic, path: Path) -> None:
    for question in (QUESTION, GERMAN):
        right = reward(**rows(path, RIGHT[:2], question=question)).values
        wrong = reward(**rows(path, WRONG, question=question)).values
        assert right.min() > 0.7
        assert wrong.max() < right.min()


def test_a_negative_scores_at_most_one_half(reward: ContrastiveSemantic, path: Path, examples: list[Example]) -> None:
    schema = schema_of(path)
    negatives = reading(GOLD, schema, others=gold_pool(examples)[str(path)]).negatives
    mutants = [m.sql for m in mutate(GOLD, schema) if verbalise(m.sql, schema, values={"france"}) in negatives]
    values = reward(**rows(path, mutants)).values
    known = ~values.isnan()
    assert known.sum() >= 4
    assert values[known].max() <= 0.5 + 1e-4


@pytest.mark.parametrize("base", [WRONG[2], WRONG[4], WRONG[6]])
def test_pasting_the_question_earns_nothing(reward: ContrastiveSemantic, path: Path, base: str) -> None:
    pasted = [
        f"-- {QUESTION}\n{base}",
        f"{base} /* {QUESTION} */",
        f"{base} -- {QUESTION}",
        f'SELECT * FROM ({base}) AS "{QUESTION}"',
        f'WITH "{QUESTION}" AS ({base}) SELECT * FROM "{QUESTION}"',
    ]
    values = reward(**rows(path, [base, *pasted])).values.tolist()
    assert max(values[1:4]) <= values[0] + 1e-6
    assert max(values) < 0.5, "the rest of a wrong query may move, its words cannot"
    text = [
        f"SELECT '{QUESTION}'",
        f"SELECT '{QUESTION}' AS \"{QUESTION}\" FROM singer",
        "SELECT 'x' AS y FROM singer",
    ]
    said, quoted, plain = reward(**rows(path, text)).values.tolist()
    assert max(said, quoted) < 0.5
    assert quoted == pytest.approx(plain), "one free text is as good as another"


def test_gates(reward: ContrastiveSemantic, path: Path) -> None:
    refused = ["DELETE FROM singer", f"{GOLD}; SELECT 1", "SELECT nosuch FROM singer", QUESTION, ""]
    assert reward(**rows(path, refused)).values.tolist() == [0.0] * len(refused)
    assert reward(**rows(path, [GOLD], gold="SELECT nosuch FROM singer")).values.isnan().all()
    empty = "SELECT name FROM singer WHERE age > 900"
    assert reward(**rows(path, [empty], gold=empty)).values.isnan().all()


def test_more_golds_in_a_call_than_are_remembered(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    golds = [GOLD, "SELECT name FROM singer WHERE age > 31", "SELECT name FROM singer WHERE age > 32"]
    batch = {**rows(path, [WRONG[0]] * len(golds)), "gold": golds}
    with Grader() as grader:
        expected = ContrastiveSemantic(grader, "hash")(**batch).values
        forget = components._forget
        monkeypatch.setattr(components, "_forget", lambda memory, limit: forget(memory, 1))
        torch.testing.assert_close(ContrastiveSemantic(grader, "hash")(**batch).values, expected)


def test_rows_do_not_see_each_other(reward: ContrastiveSemantic, path: Path) -> None:
    together = reward(**rows(path, RIGHT + WRONG)).values
    alone = torch.cat([reward(**rows(path, [sql])).values for sql in RIGHT + WRONG])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_training_leaves_figures_card_and_weights(
    trained: tuple[Path, dict[str, Any]], examples: list[Example]
) -> None:
    folder, figures = trained
    assert figures["recall_at_1"] == {"de": 1.0, "en": 1.0, "all": 1.0}
    assert figures["gold_first"]["all"] >= 0.9
    assert 1.0 <= figures["mutation_rank"]["all"] < 1.5
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "`make it`" in card
    assert "| de | 1.000 |" in card
    assert sum(file.stat().st_size for file in folder.iterdir()) <= 2_000_000
    untrained = measure_encoder(load_encoder("hash"), examples)
    assert figures["recall_at_1"]["de"] > untrained["recall_at_1"]["de"], "surface overlap does not cross languages"


def test_training_is_reproducible(examples: list[Example], tmp_path: Path) -> None:
    weights = []
    for name in ("a", "b"):
        torch.rand(3)  # the caller's random state neither matters nor changes
        before = torch.random.get_rng_state()
        train_encoder(examples, tmp_path / name, seed=3, steps=3)
        assert torch.equal(before, torch.random.get_rng_state())
        weights.append((tmp_path / name / "encoder.safetensors").read_bytes())
    assert weights[0] == weights[1]


def test_collect_groups_parallel_questions(examples: list[Example]) -> None:
    meanings = collect(examples)
    assert len(meanings) == len(PAIRS)
    assert all([language for language, _ in meaning.questions] == ["en", "de"] for meaning in meanings)
    assert all(meaning.negatives and meaning.text not in meaning.negatives for meaning in meanings)


def test_too_little_to_train_on(path: Path, tmp_path: Path) -> None:
    broken = Example("1", "q", "en", "music", path, "DROP TABLE singer")
    with pytest.raises(DataError, match="at least two"):
        train_encoder([broken], tmp_path)
