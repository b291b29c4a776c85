from __future__ import annotations

import json
from pathlib import Path

import pytest

from apps.text2sql.data import load_examples, read_jsonl_examples, to_row
from apps.text2sql.data_config import DataConfig
from apps.text2sql.schemas.descriptions import find_descriptions
from common.errors import DataError, UsageError
from common.files import write_jsonl
from tests.apps.text2sql.data_folders import (
    QUERIES,
    bird_folder,
    multispider_folder,
    row,
    spider_folder,
    write,
    write_database,
)


def test_spider_splits_and_databases_whatever_their_case(tmp_path: Path) -> None:
    spider_folder(tmp_path)
    dev = load_examples(DataConfig(format="spider", path=str(tmp_path)))
    assert [example.sql for example in dev] == QUERIES
    assert all(example.path.is_file() for example in dev)
    train = load_examples(DataConfig(format="spider", path=str(tmp_path), split="train"))
    assert [example.question for example in train] == ["How many?", "And now?"]
    assert len({example.id for example in train}) == 2
    one_file = load_examples(DataConfig(format="spider", path=str(tmp_path / "train_others.json")))
    assert [example.sql for example in one_file] == [QUERIES[4]]


def test_an_unknown_split_names_the_nearest_file(tmp_path: Path) -> None:
    spider_folder(tmp_path)
    with pytest.raises(DataError, match="did you mean 'dev'"):
        load_examples(DataConfig(format="spider", path=str(tmp_path), split="dew"))


def test_missing_databases_are_one_error_with_their_number(tmp_path: Path) -> None:
    write(
        tmp_path / "dev.json", [row("a", QUERIES[0], "one"), row("b", QUERIES[0], "one"), row("c", QUERIES[0], "two")]
    )
    with pytest.raises(DataError, match=r"2 database files are missing \(3 of 3 questions") as caught:
        load_examples(DataConfig(format="spider", path=str(tmp_path)))
    assert "databases" in str(caught.value)
    write_database(tmp_path / "elsewhere/one.sqlite")
    write_database(tmp_path / "elsewhere/two/two.sqlite")
    config = DataConfig(format="spider", path=str(tmp_path), databases=str(tmp_path / "elsewhere"))
    assert len(load_examples(config)) == 3


def test_a_bad_row_is_named_by_file_and_number(tmp_path: Path) -> None:
    spider_folder(tmp_path)
    file = write(tmp_path / "dev.json", [row("a", QUERIES[0]), {"db_id": "music", "query": "SELECT 1"}])
    with pytest.raises(DataError, match="row 1 has no text 'question'; its fields are: db_id, query") as caught:
        load_examples(DataConfig(format="spider", path=str(tmp_path)))
    assert str(file) in str(caught.value)
    # Spider's `sql` is a parse tree, not a query.
    write(tmp_path / "dev.json", [{"db_id": "music", "question": "a", "sql": {"select": []}}])
    with pytest.raises(DataError, match="row 0 has no text 'query' or 'sql'"):
        load_examples(DataConfig(format="spider", path=str(tmp_path)))


@pytest.mark.parametrize("variant", ["with_english_value", "with_English_value", "with_original_value"])
def test_multispider_in_the_hubs_layout(tmp_path: Path, variant: str) -> None:
    multispider_folder(tmp_path, variant)
    asked = "with_original_value" if "original" in variant else "with_English_value"
    examples = load_examples(DataConfig(format="multispider", path=str(tmp_path), variant=asked))  # type: ignore[arg-type]
    assert [example.language for example in examples] == ["en", "en", "de", "de", "ja", "ja"]
    assert len({example.parallel for example in examples}) == 2
    assert len({example.id for example in examples}) == 6
    german = load_examples(
        DataConfig(format="multispider", path=str(tmp_path / "dataset/multispider"), variant=asked, languages=["de"])  # type: ignore[arg-type]
    )
    assert {example.question for example in german} == {"Wie viele Sänger?", "Wie viele Sänger? (2)"}


def test_multispider_translations_meet_where_a_file_lacks_rows(tmp_path: Path) -> None:
    multispider_folder(tmp_path)
    write(tmp_path / "dataset/multispider/with_english_value/dev_ja.json", [row("二番", QUERIES[1])])
    examples = load_examples(DataConfig(format="multispider", path=str(tmp_path)))
    parallel = {(example.language, example.sql): example.parallel for example in examples}
    assert parallel["ja", QUERIES[1]] == parallel["en", QUERIES[1]] != parallel["en", QUERIES[0]]


def test_bird_with_evidence_difficulty_and_odd_encodings(tmp_path: Path) -> None:
    bird_folder(tmp_path)
    first, second = load_examples(DataConfig(format="bird", path=str(tmp_path)))
    assert (first.id, first.sql, first.evidence, first.tags) == ("dev-7", QUERIES[4], "oldest: max(age)", ("simple",))
    assert second.evidence == ""
    words = find_descriptions(first.path).columns
    assert words["singer", "age"] == "age in years (≥ 18 always)"
    assert words["country", "name"] == "the country’s name (é)"


def test_machine_spider_as_it_is_on_disk(shared: Path) -> None:
    examples = load_examples(DataConfig(format="machine_spider", path=str(shared / "data/machine_spider_de")))
    assert len(examples) == 1030
    assert {example.language for example in examples} == {"de"}
    assert all(example.path.is_file() for example in examples)
    assert examples[0].parallel == "How many singers do we have?"


def test_jsonl_keeps_everything(tmp_path: Path) -> None:
    examples = load_examples(DataConfig(format="bird", path=str(bird_folder(tmp_path / "bird"))))
    file = tmp_path / "out" / "dev.jsonl"
    write_jsonl(file, (to_row(example, file.parent) for example in examples))
    again = load_examples(DataConfig(format="jsonl", path=str(file)))
    for old, new in zip(examples, again, strict=True):
        assert new.path.resolve() == old.path.resolve()
        assert {**vars(new), "path": ""} == {**vars(old), "path": ""}
    # A folder that is moved as a whole still finds its databases.
    assert not Path(json.loads(file.read_text().splitlines()[0])["database"]).is_absolute()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            '{"question": "a", "database": "x.sqlite"}',
            "a row needs the text 'sql'; found the fields database, question",
        ),
        ('{"question": " ", "sql": "", "database": "x.sqlite"}', "needs the text 'question'"),
        ('{"question": "a", "sql": 3, "database": "x.sqlite"}', "needs the text 'sql'; found 3"),
        ('{"question": "a", "sql": "", "database": "x.sqlite", "tags": "x"}', "'tags' is a list"),
        ('["a"]', "expected a JSON object"),
        ("{", "not JSON"),
    ],
)
def test_bad_jsonl_rows_are_named_by_line(tmp_path: Path, line: str, message: str) -> None:
    file = tmp_path / "data.jsonl"
    file.write_text('{"question": "a", "sql": "SELECT 1", "database": "x.sqlite"}\n\n' + line + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=message) as caught:
        read_jsonl_examples(file)
    assert caught.value.line == 3


def test_an_id_may_not_come_twice(tmp_path: Path) -> None:
    file = tmp_path / "data.jsonl"
    rows = [{"id": "1", "question": "a", "sql": "SELECT 1", "database": "x.sqlite"}] * 2
    write_jsonl(file, rows)
    with pytest.raises(DataError, match="id '1' was used in line 1"):
        read_jsonl_examples(file)


def test_a_limit_keeps_translations_together(tmp_path: Path) -> None:
    multispider_folder(tmp_path)
    config = DataConfig(format="multispider", path=str(tmp_path), limit=4)
    kept = load_examples(config)
    assert [example.language for example in kept] == ["en", "de", "ja"]
    assert len({example.parallel for example in kept}) == 1


def test_a_seed_draws_other_questions_but_always_the_same(tmp_path: Path) -> None:
    spider_folder(tmp_path)
    draws = [
        [e.id for e in load_examples(DataConfig(format="spider", path=str(tmp_path), limit=2, seed=seed))]
        for seed in (0, 1, 1, 2, 3, 4)
    ]
    assert draws[0] == ["dev-0", "dev-1"]
    assert draws[1] == draws[2]
    assert len({tuple(draw) for draw in draws}) > 2
    assert all(len(draw) == 2 for draw in draws)


def test_nothing_found_is_an_error(tmp_path: Path) -> None:
    multispider_folder(tmp_path)
    with pytest.raises(DataError, match=r"dev_fr\.json"):
        load_examples(DataConfig(format="multispider", path=str(tmp_path), languages=["fr"]))
    spider_folder(tmp_path)
    with pytest.raises(DataError, match="no questions in fr"):
        load_examples(DataConfig(format="spider", path=str(tmp_path), languages=["fr"]))
    with pytest.raises(UsageError, match="needs a path"):
        load_examples(DataConfig(format="spider"))
    with pytest.raises(DataError, match="no such file or folder"):
        load_examples(DataConfig(format="spider", path=str(tmp_path / "nowhere")))
