"""`audit` on a world small enough to know the answers: controls lose, mutants are counted right, languages agree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from apps.text2sql.audit import audit_reward, run_audit
from apps.text2sql.auditing.assay import column_values, controls, language_spread, try_mutants
from apps.text2sql.config import Text2SqlConfig
from apps.text2sql.data import Example
from apps.text2sql.parts.grading import Grader
from apps.text2sql.verdicts.verdict import Verdict
from common.files import write_jsonl
from common.rewards.base import Reward, RewardOutput
from tests.apps.text2sql.reward_world import build
from tests.apps.text2sql.test_contrastive import PAIRS


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


@pytest.fixture
def config(path: Path, examples: list[Example], tmp_path: Path) -> Text2SqlConfig:
    rows = [
        {
            "id": e.id,
            "question": e.question,
            "sql": e.sql,
            "database": str(path),
            "language": e.language,
            "parallel": e.parallel,
        }
        for e in examples
    ]
    write_jsonl(tmp_path / "questions.jsonl", rows)
    config = Text2SqlConfig(runs=str(tmp_path / "runs"))
    config.heldout.format, config.heldout.path = "jsonl", str(tmp_path / "questions.jsonl")
    config.reward.encoder = "hash"
    return config


def test_default_reward_passes(config: Text2SqlConfig, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_audit(config, rows=20, json_output=True) == 0
    printed = json.loads(capsys.readouterr().out)
    folder = Path(config.runs) / "audit-contrastive"
    assert json.loads((folder / "audit.json").read_text(encoding="utf-8")) == printed
    names = {one["name"] for one in printed["general"]["controls"]}
    assert names >= {*controls("pocket"), "empty", "boilerplate", "other_reference", "prompt_copy"}
    assert all(one["beaten"]["mean"] == 1.0 for one in printed["general"]["controls"])
    assert printed["general"]["killed"]["mean"] == 1.0
    assert printed["language_spread"]["contrastive"]["mean"]["mean"] < 0.1
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 3
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_reasoning_sql_shows_what_its_parts_cannot_see(config: Text2SqlConfig, examples: list[Example]) -> None:
    config.reward.recipe = "reasoning_sql"
    assay = audit_reward(config, examples, examples)
    overall = assay.strengths[-1]
    assert overall.operator == "all"
    assert overall.parts["execution"].mean == 1.0
    by_operator = {one.operator: one for one in assay.strengths}
    assert by_operator["comparison"].parts["linking"].mean == 0.0, "names do not change with an operator"
    assert by_operator["column"].parts["linking"].mean > 0.9
    assert by_operator["comparison"].parts["ngram"].mean > 0.9
    assert sum(one.tried for one in assay.strengths[:-1]) == overall.tried


def test_output_of_a_person(config: Text2SqlConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_audit(config, rows=8, out=str(tmp_path / "here"))
    said = capsys.readouterr()
    assert "question_in_comment" in said.out
    assert str(tmp_path / "here" / "report.html") in said.err
    assert (tmp_path / "here" / "audit.json").is_file()


def test_mutants_are_sorted_by_what_execution_says(path: Path) -> None:
    columns: dict[str, Any] = {"database": [str(path)], "dialect": ["sqlite"]}
    with Grader() as grader:
        columns["gold"] = ["SELECT DISTINCT name FROM singer WHERE age > 40"]
        found = {one.sql: one.verdict for one in try_mutants(grader, columns, [0])}
    base = "SELECT DISTINCT singer.name FROM singer WHERE singer.age > 40"
    assert found[base.replace("DISTINCT ", "")] is Verdict.CORRECT, "no two singers share a name"
    assert found[base.replace(">", ">=")] is Verdict.CORRECT, "nobody is 40"
    assert found[base.replace(">", "<")] is Verdict.WRONG


def test_literals_come_from_the_database(path: Path) -> None:
    values = column_values(str(path))
    assert set(values["singer", "country"]) == {"France", "Spain", "Japan"}
    assert ("singer", "age") not in values


class LovesGerman(Reward):
    name = "loves_german"
    needs = ("completion", "language")

    def score(self, **columns: Any) -> RewardOutput:
        import torch

        return RewardOutput(torch.tensor([float(language == "de") for language in columns["language"]]))


def test_a_reward_with_a_favourite_language_is_seen(examples: list[Example]) -> None:
    spread = language_spread(LovesGerman(), examples, [], "pocket")
    assert spread is not None
    assert spread.mean.mean == spread.largest == 1.0
    assert spread.by_language["de"].mean == 1.0
    assert spread.queries == len(PAIRS)
    assert language_spread(LovesGerman(), examples[:1], [], "pocket") is None
