"""Bulk scoring without its workers: shards and what is written. With them: test_on_ray.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import DataError, UsageError
from common.files import read_jsonl, write_json
from common.rewards.build import read
from common.rewards.scoring import run_score
from common.scale import bulk, shards
from common.scale.bulk import score_bulk, score_shard

pa = pytest.importorskip("pyarrow", reason="reads Parquet; of the scale extra")
import pyarrow.parquet as pq  # noqa: E402

F1 = "configs/rewards/token-f1.yaml"


def jsonl(path: Path, rows: list[dict[str, Any]], between: str = "\n") -> Path:
    path.write_text(between.join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n", encoding="utf-8")
    return path


def rows_of(count: int) -> list[dict[str, Any]]:
    return [{"id": n, "completion": "ä b c"[: n % 6], "reference": ["ä b", "c"]} for n in range(count)]


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 23), st.integers(1, 9), st.integers(1, 5), st.sampled_from(["\n", "\n\n", "\r\n", "\n \n"]))
def test_shards_hold_every_row_once_and_in_order(
    tmp_path_factory: pytest.TempPathFactory, count: int, size: int, row_group: int, between: str
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    rows = rows_of(count)
    pq.write_table(
        pa.Table.from_pylist(rows, pa.Table.from_pylist(rows_of(1)).schema), folder / "rows.parquet", row_group
    )
    lines = jsonl(folder / "rows.jsonl", rows, between) if rows else folder / "rows.jsonl"
    lines.touch()
    for file in (folder / "rows.parquet", lines):
        planned = shards.plan(file, size)
        assert all(shard.rows <= size for shard in planned)
        found = {}
        for shard in planned:
            part = shards.read(shard)
            assert len(part) == shard.rows
            found |= part
        assert list(found.values()) == rows
    assert [number for shard in shards.plan(lines, size) for number in shards.read(shard)] == [
        number for number, _ in read_jsonl(lines)
    ], "a row is called by its line"


def test_a_group_is_never_cut(tmp_path: Path) -> None:
    rows = [{"completion": "a", "group": group} for group in "aaabbcccccd"]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet")
    for file in (tmp_path / "rows.parquet", jsonl(tmp_path / "rows.jsonl", rows)):
        assert [shard.rows for shard in shards.plan(file, 2, group=True)] == [3, 2, 5, 1]
        assert [shard.rows for shard in shards.plan(file, 4, group=True)] == [5, 5, 1]
    with pytest.raises(UsageError, match="sort the file by `group`"):
        shards.plan(jsonl(tmp_path / "mixed.jsonl", [{"group": group} for group in "aba"]), 2, group=True)


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.parquet"])
def test_a_scored_shard_is_what_score_writes(tmp_path: Path, name: str) -> None:
    rows = [*rows_of(7), {"id": 7, "completion": "ä", "reference": []}]
    lines, out = jsonl(tmp_path / "all.jsonl", rows), tmp_path / "scored"
    run_score(F1, str(lines), str(tmp_path / "expected.jsonl"), json_output=True)
    expected = [row for _, row in read_jsonl(tmp_path / "expected.jsonl")]
    if name.endswith("parquet"):
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / name)
    else:
        lines.rename(tmp_path / name)
    out.mkdir()
    found = []
    for shard in shards.plan(tmp_path / name, 3):
        assert score_shard(read(F1), shard, out, batch=2) == shard.rows
        if name.endswith("parquet"):
            part = pq.read_table(out / shard.file).to_pylist()
            found += [{**row, "parts": dict(row["parts"])} for row in part]
        else:
            found += [row for _, row in read_jsonl(out / shard.file)]
    assert found == expected
    assert found[-1]["reward"] is None


def test_only_what_is_left_is_scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, out = jsonl(tmp_path / "rows.jsonl", rows_of(10)), tmp_path / "out"
    asked: list[list[int]] = []

    def run(reward: str, folder: Path, left: list[shards.Shard], batch: int, workers: int, address: str) -> Any:
        asked.append([shard.number for shard in left])
        return (score_shard(read(F1), shard, folder, batch) for shard in left)

    monkeypatch.setattr(bulk, "_run", run)
    score_bulk(F1, file, out, 64, 2, 3, True)
    whole = {path.name: path.read_bytes() for path in out.iterdir()}
    (out / "part-00001.json").unlink()  # as if it was ended while it wrote this one
    (out / "part-00003.jsonl").unlink()
    score_bulk(F1, file, out, 64, 2, 3, True)
    score_bulk(F1, file, out, 64, 2, 3, True)
    assert asked == [[0, 1, 2, 3], [1, 3]]
    assert {path.name: path.read_bytes() for path in out.iterdir()} == whole


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "_run", lambda *_: iter(()))
    monkeypatch.setattr(bulk, "_tell", lambda *_: None)
    monkeypatch.setattr(
        bulk, "read_json", lambda path: json.loads(path.read_text()) if path.name == "plan.json" else {}
    )
    file, out = jsonl(tmp_path / "rows.jsonl", rows_of(4)), tmp_path / "out"
    score_bulk(F1, file, out, 64, 2, 2, True)
    for change, told in (({"reward": "configs/rewards/exact-match.yaml"}, "fingerprint"), ({"shard": 3}, "shard")):
        with pytest.raises(UsageError, match=told):
            score_bulk(change.get("reward", F1), file, out, 64, 2, change.get("shard", 2), True)
    jsonl(file, rows_of(5))
    with pytest.raises(UsageError, match="digest"):
        score_bulk(F1, file, out, 64, 2, 2, True)
    (tmp_path / "mine").mkdir()
    write_json(tmp_path / "mine" / "thesis.json", 1)
    with pytest.raises(UsageError, match="no folder of scores"):
        score_bulk(F1, file, tmp_path / "mine", 64, 2, 2, True)


def test_rows_of_a_damaged_parquet_file_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"completion": [f"text {row}" for row in range(900)]}), path, row_group_size=300)
    planned = shards.plan(path, 300)
    data = bytearray(path.read_bytes())
    data[4:40] = b"\xff" * 36
    path.write_bytes(bytes(data))
    with pytest.raises(DataError, match=r"rows\.parquet: rows 1 to 300 cannot be read"):
        shards.read(planned[0])
    monkeypatch.setattr(shards, "MOST_SHARDS", 10)
    with pytest.raises(UsageError, match="--shard of 91 or more"):
        shards.plan(path, 50)


def test_a_line_that_is_blank_as_text_is_no_row(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"group": 1}\n\u00a0\n{"group": 1}\n', encoding="utf-8")
    assert [shard.rows for shard in shards.plan(path, 1, group=True)] == [2]


def test_wrong_input_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        shards.plan(tmp_path / "none.parquet", 2)
    (tmp_path / "rows.parquet").write_text("no")
    with pytest.raises(DataError, match="Parquet"):
        shards.plan(tmp_path / "rows.parquet", 2)
    with pytest.raises(UsageError, match=r"\.jsonl"):
        shards.plan(jsonl(tmp_path / "rows.csv", []), 2)
    with pytest.raises(UsageError, match="--shard"):
        shards.plan(tmp_path / "rows.parquet", 0)
    (tmp_path / "rows.jsonl").write_text('{"a": 1}\n{"a": 2}\n{"a": \n')
    with pytest.raises(DataError, match=r"rows\.jsonl:3: not JSON"):
        shards.read(shards.plan(tmp_path / "rows.jsonl", 2)[1])
    with pytest.raises(UsageError, match="learns"):
        score_bulk("configs/rewards/history.yaml", tmp_path / "rows.jsonl", tmp_path / "out", 64, 2, 2)
