"""The `score` verb on files as people have them: good rows, bad rows, bad pictures, and fields of their own."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from apps.captioning import score as module
from apps.captioning.aggregation import aggregate
from apps.captioning.config import CaptioningConfig
from apps.captioning.data import load_corpus
from apps.captioning.pocket.world import load_pocket
from apps.captioning.score import naturalness_snapshot, run_score
from common.errors import DataError, UsageError
from common.models.clip import Clip
from tests.apps.captioning.tiny_models import tiny_config

EXAMPLES = load_pocket("train", 6)


@pytest.fixture
def config(models: Path) -> CaptioningConfig:
    return tiny_config(models)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pictures").mkdir()
    for number, example in enumerate(EXAMPLES):
        example.picture().save(tmp_path / "pictures" / f"{number}.png")
    return tmp_path


def score(config: CaptioningConfig, folder: Path, rows: list[Any], **flags: Any) -> list[dict[str, Any]]:
    pairs = folder / "pairs.jsonl"
    pairs.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows) + "\n", "utf-8")
    assert run_score(config, str(pairs), str(folder / "out.jsonl"), **flags) == 0
    return [json.loads(line) for line in (folder / "out.jsonl").read_text("utf-8").splitlines()]


def pair(number: int, caption: str | None, **more: Any) -> dict[str, Any]:
    return {"image": f"pictures/{number}.png", "caption": caption, **more}


def test_rows_come_back_in_order_with_all_their_fields(config: CaptioningConfig, folder: Path) -> None:
    rows = [
        pair(0, "A red circle.", id="a", note={"deep": [1, None]}, ä="ö"),
        pair(1, "A blue star above a ring.", id=None),
        {**pair(2, "Two moons."), "image": str(folder / "pictures" / "2.png")},
        pair(0, "A red circle.", references=["One red disc."]),
        pair(3, "Naïve 🙂 caption", parts="replaced"),
    ]
    got = score(config, folder, rows)
    added = {"reward", "parts", "reason"}
    for before, after in zip(rows, got, strict=True):
        left = {name: value for name, value in before.items() if name not in added}
        assert {name: value for name, value in after.items() if name not in added} == left
        assert added <= set(after)
    clip = Clip(config.clip.name)
    cosines = clip.image([EXAMPLES[number].picture() for number in (0, 1, 2, 0, 3)]) * clip.text(
        [row["caption"] for row in rows]
    )
    expected = 100 * cosines.sum(1).clamp(min=0)
    torch.testing.assert_close(torch.tensor([row["reward"] for row in got]), expected, atol=1e-3, rtol=0)
    assert got[0]["reward"] == pytest.approx(got[3]["reward"], abs=1e-4)
    assert {tuple(row["parts"]) for row in got} == {("clip_cos",)}
    assert all(row["reason"] == "" for row in got)


def test_an_empty_caption_is_the_policys_fault(config: CaptioningConfig, folder: Path) -> None:
    for row in score(config, folder, [pair(0, ""), pair(0, " \n"), pair(0, None)]):
        assert row["reward"] == 0.0
        assert row["reason"] == "clip_cos: the caption is empty"


def test_bad_rows_and_pictures_have_no_reward_and_a_reason(
    config: CaptioningConfig, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "pictures" / "broken.png").write_bytes((folder / "pictures" / "0.png").read_bytes()[:200])
    (folder / "pictures" / "text.png").write_text("not a picture")
    # Naturalness needs no picture: a row without one must not be paid for it.
    config.reward.naturalness = 0.5
    rows = [
        pair(0, "A red circle.", id="first"),
        pair(99, "no such file"),
        {**pair(0, "cut off"), "image": "pictures/broken.png"},
        {**pair(0, "text"), "image": "pictures/text.png"},
        {**pair(0, "folder"), "image": "pictures"},
        {"caption": "no image"},
        {"image": "pictures/0.png"},
        {"image": None, "caption": "null"},
        {"image": " ", "caption": "blank"},
        pair(0, 5),  # type: ignore[arg-type]
        pair(0, "references", references="one text"),
        pair(0, "references", references=[1]),
        {**pair(0, "long"), "image": "x" * 5000},
        pair(1, "A blue star.", id="last"),
    ]
    got = score(config, folder, rows, json_output=True)
    summary = json.loads(capsys.readouterr().out)
    assert [row["reward"] is None for row in got] == [False, *[True] * 12, False]
    assert all(row["parts"] == {} and row["reason"] for row in got[1:-1])
    assert "no such file" in got[1]["reason"]
    assert "broken or cut off" in got[2]["reason"]
    assert "no picture in a format" in got[3]["reason"]
    assert got[5]["reason"] == "no field 'image'"
    assert got[9]["reason"] == "'caption' must be text, not int"
    assert "'references' must be a list of texts" in got[10]["reason"]
    assert [problem["line"] for problem in summary["unscored"]] == list(range(2, 14))
    assert (summary["rows"], summary["scored"]) == (14, 2)
    assert summary["reward"]["mean"] == pytest.approx((got[0]["reward"] + got[-1]["reward"]) / 2, rel=1e-4)
    assert set(summary["parts"]) == {"clip_cos", "naturalness"}


def test_a_file_without_one_good_row(config: CaptioningConfig, folder: Path) -> None:
    assert [row["reward"] for row in score(config, folder, [pair(98, "x"), pair(99, "y"), {"caption": "z"}])] == [
        None
    ] * 3
    config.clip.name = "local-dir:/nowhere"
    assert score(config, folder, []) == []


def test_a_line_that_is_no_json_is_named(config: CaptioningConfig, folder: Path) -> None:
    for bad, message in (
        ("{not json", r"pairs\.jsonl:2: not JSON"),
        ("[1]", r"pairs\.jsonl:2: expected a JSON object"),
    ):
        with pytest.raises(DataError, match=message):
            score(config, folder, [pair(0, "A red circle."), bad])
    with pytest.raises(DataError, match="no such file"):
        run_score(config, str(folder / "none.jsonl"), str(folder / "out.jsonl"))
    with pytest.raises(UsageError, match="is a folder"):
        run_score(config, str(folder / "none.jsonl"), str(folder))
    assert sorted(os.listdir(folder)) == ["pairs.jsonl", "pictures"], "no output, and nothing half written"


def test_the_configured_mixture(config: CaptioningConfig, folder: Path) -> None:
    config.reward.clip_agg, config.reward.naturalness, config.reward.bleu = 0.5, 0.1, 2.0
    config.reward.cider, config.train.limit = 1.0, 50
    rows = [
        pair(0, "A red circle on a grey background.", references=["A red circle on a black background."]),
        pair(1, "Two moons."),
    ]
    got = score(config, folder, rows)
    parts = got[0]["parts"]
    assert set(parts) == {
        "clip_cos", "clip_agg", "clip_agg.cosine", "clip_agg.difference", "naturalness", "bleu", "cider"
    }  # fmt: skip
    mixed = sum(parts[name] * weight for name, weight in (("clip_cos", 1), ("clip_agg", 0.5), ("naturalness", 0.1)))
    assert got[0]["reward"] == pytest.approx(mixed + 2 * parts["bleu"] + parts["cider"], rel=1e-4)
    assert parts["cider"] > 0.5
    assert parts["bleu"] > 0.3, "compared with its references without reward.paired"
    clip = Clip(config.clip.name)
    target = aggregate(clip.image([EXAMPLES[0].picture()]), clip.text(load_corpus(config.corpus)))
    cosine = torch.cosine_similarity(target, clip.text([rows[0]["caption"]])).item()
    assert parts["clip_agg.cosine"] == pytest.approx(cosine, abs=1e-4)
    assert got[1]["parts"]["bleu"] is None
    assert got[1]["reward"] is not None
    assert "bleu: the row has no reference with a word" in got[1]["reason"]


def test_no_trained_discriminator(config: CaptioningConfig, folder: Path) -> None:
    config.reward.naturalness = 1.0
    assert naturalness_snapshot(config) is not None
    config.discriminator.path = "FacebookAI/roberta-base"
    assert naturalness_snapshot(config) is None
    with pytest.raises(UsageError, match="naturalness"):
        score(config, folder, [pair(0, "A red circle.")])


def test_batches_change_nothing_and_pictures_are_read_once(
    config: CaptioningConfig, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [pair(number % 6, caption) for number, caption in enumerate([f"{word} stars." for word in "abcdefghijklm"])]
    read = []
    import common.pictures

    original = common.pictures.load_picture
    monkeypatch.setattr(
        common.pictures, "load_picture", lambda path, *rest: read.append(path) or original(path, *rest)
    )
    monkeypatch.setattr(module, "KEPT", 6)
    values = []
    for size in (1, 4, 100):
        read.clear()
        config.clip.batch_size = size
        values.append(torch.tensor([row["reward"] for row in score(config, folder, rows)]))
        assert len(read) == 6
    torch.testing.assert_close(values[0], values[1], atol=2e-3, rtol=0)
    torch.testing.assert_close(values[0], values[2], atol=2e-3, rtol=0)
    config.clip.batch_size = 4
    monkeypatch.setattr(module, "KEPT", 1)
    forgetful = torch.tensor([row["reward"] for row in score(config, folder, rows)])
    torch.testing.assert_close(values[0], forgetful, atol=2e-3, rtol=0)


def test_a_clip_that_fails_is_the_graders_fault(
    config: CaptioningConfig, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(Clip, "encode_prepared", broken)
    got = score(config, folder, [pair(0, "A red circle."), pair(1, "")])
    assert [row["reward"] for row in got] == [None, None]
    assert got[0]["reason"] == "CLIP failed: out of memory"


def test_what_a_person_sees(config: CaptioningConfig, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    score(config, folder, [pair(0, "A red circle."), *[pair(99, "gone")] * 12])
    said = capsys.readouterr()
    assert "13 rows" in said.out
    assert "clip_cos" in said.out
    assert said.err.count("no such file") == 10
    assert "and 2 further rows" in said.err


def test_odd_characters_pass_through(config: CaptioningConfig, folder: Path) -> None:
    (got,) = score(config, folder, [json.dumps(pair(0, "half \ud800 a pair", id="\udfff"))])
    assert got["id"] == "\udfff"
    assert got["reward"] is not None
