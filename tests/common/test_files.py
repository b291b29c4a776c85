import json

import pytest

from common import files
from common.errors import DataError


def test_a_failed_write_leaves_the_old_file_and_no_temporary(tmp_path):
    target = tmp_path / "value.json"
    files.write_json(target, {"a": 1})
    with pytest.raises(ValueError, match=r"Out of range|not JSON compliant"):
        files.write_json(target, {"a": float("nan")})
    with pytest.raises(TypeError):
        files.write_bytes(target, "text")  # type: ignore[arg-type]
    assert json.loads(target.read_text()) == {"a": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["value.json"]


def test_written_files_have_an_ordinary_mode(tmp_path):
    plain = tmp_path / "plain"
    plain.write_text("")
    assert files.write_text(tmp_path / "ours", "").stat().st_mode == plain.stat().st_mode


def test_jsonl_round_trip_keeps_text_and_counts_lines(tmp_path):
    path = tmp_path / "rows.jsonl"
    files.write_jsonl(path, [{"q": "größe\n名前"}, {"q": 1}])
    files.append_jsonl(path, [{"q": None}])
    path.write_text(path.read_text(encoding="utf-8").replace("\n", "\n\n", 1), encoding="utf-8")
    assert list(files.read_jsonl(path)) == [(1, {"q": "größe\n名前"}), (3, {"q": 1}), (4, {"q": None})]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": 1}\n{"a": \n', r"rows.jsonl:2: not JSON"),
        (b"[1]\n", r"rows.jsonl:1: expected a JSON object, found list"),
        (b"\xff\xfe{", r"rows.jsonl: not UTF-8"),
    ],
)
def test_a_bad_row_is_named_by_file_and_line(tmp_path, content, message):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        list(files.read_jsonl(path))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"absent\.json: no such file"):
        files.read_json(tmp_path / "absent.json")


def test_shipped_files_are_found_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert files.locate("pyproject.toml").is_file()
    (tmp_path / "pyproject.toml").write_text("")
    assert files.locate("pyproject.toml").resolve() == (tmp_path / "pyproject.toml").resolve()
    assert files.locate("nowhere").parent.name == ""
