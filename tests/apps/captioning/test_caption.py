"""`caption`: what is found, what is skipped, streams and exit codes; the assistant and DeCap's projection."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from PIL import Image

from apps.captioning import assistant, caption
from apps.captioning.__main__ import APP
from apps.captioning.aggregation import aggregate
from apps.captioning.assistant import SHIPPED, CaptionAssistant, captioner_path
from apps.captioning.caption import find, run_caption
from apps.captioning.config import CaptioningConfig
from apps.captioning.data_config import CorpusConfig
from apps.captioning.model_config import CaptionerConfig, ClipConfig
from apps.captioning.pocket.render import draw
from apps.captioning.pocket.world import load_pocket
from common.errors import DataError, UsageError
from tests.apps.captioning.tiny import tiny_captioner
from tests.common.models.tiny_clip import tiny_clip_folder


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("models")
    clip = f"local-dir:{tiny_clip_folder(folder / 'clip')}"
    return clip, str(tiny_captioner(folder / "captioner", clip=clip))


@pytest.fixture
def config(models: tuple[str, str]) -> CaptioningConfig:
    clip, captioner = models
    return CaptioningConfig(
        clip=ClipConfig(clip, device="cpu"),
        captioner=CaptionerConfig(captioner, max_new_tokens=12, device="cpu"),
        corpus=CorpusConfig(limit=40),
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six pictures in two folders, one of them broken and one hidden, and a text."""
    (tmp_path / "in" / "deep").mkdir(parents=True)
    for number, example in enumerate(load_pocket("test_seen", 5)):
        draw(example.scene).save(tmp_path / "in" / ("deep" if number > 2 else "") / f"{number}.png")
    (tmp_path / "in" / "bad.jpg").write_bytes(b"\xff\xd8 no more")
    (tmp_path / "in" / ".hidden.png").write_bytes((tmp_path / "in" / "0.png").read_bytes())
    (tmp_path / "in" / "notes.txt").write_text("no picture")
    return tmp_path / "in"


def rows(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def test_files_folders_and_patterns_are_found_once(folder, tmp_path):
    assert [path.name for path in find([str(folder)])] == ["0.png", "1.png", "2.png", "bad.jpg", "3.png", "4.png"]
    assert [path.name for path in find([str(folder / "*.png"), str(folder / "1.png")])] == ["0.png", "1.png", "2.png"]
    assert len(find([str(folder / "**" / "*.png")])) == 5
    assert [path.name for path in find([str(folder / "d*")])] == ["3.png", "4.png"]
    # A name that looks like a pattern is first of all a name.
    odd = tmp_path / "photo[1].png"
    odd.write_bytes(b"x")
    assert find([str(odd)]) == [odd]
    assert [path.name for path in find([str(folder / "notes.txt")])] == ["notes.txt"]


def test_what_is_not_there_is_named_all_at_once(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError) as raised:
        find([str(folder / "0.png"), "nowhere.png", str(tmp_path / "empty"), "x/*.gif"])
    for part in ("nowhere.png: no such file", "no pictures in this folder", "x/*.gif"):
        assert part in str(raised.value)


def test_a_table_of_captions_and_a_warning_for_the_bad_one(config, folder, capsys):
    assert run_caption(config, [str(folder)], beam=2) == 0
    printed = capsys.readouterr()
    assert "3.png" in printed.out
    assert "bad.jpg" not in printed.out
    assert "bad.jpg" in printed.err
    assert "1 of 6 pictures could not be read" in printed.err
    assert run_caption(config, [str(folder)], beam=2, strict=True) == 1
    assert run_caption(config, [str(folder / "deep")], beam=2, strict=True) == 0


def test_json_lines_hold_every_caption_found_and_score_reads_them(config, folder, tmp_path, capsys):
    out = tmp_path / "captions.jsonl"
    assert run_caption(config, [str(folder)], beam=3, json_output=True, out=str(out)) == 0
    printed = rows(capsys.readouterr().out)
    assert printed == rows(out.read_text("utf-8"))
    good = [row for row in printed if "error" not in row]
    assert len(good) == 5
    assert {row["image"] for row in printed if "error" in row} == {str(folder / "bad.jpg")}
    for row in good:
        assert {"image", "caption", "score", "captions"} == set(row)
        assert row["captions"][0] == {"caption": row["caption"], "score": row["score"]}
        scores = [entry["score"] for entry in row["captions"]]
        assert scores == sorted(scores, reverse=True)
        assert 1 <= len(scores) <= 3


def test_captions_do_not_depend_on_the_batch_or_on_bad_neighbours(config, folder, monkeypatch, capsys):
    found = []
    for batch in (1, 2, 64):
        monkeypatch.setattr(caption, "BATCH", batch)
        monkeypatch.setattr(assistant, "BATCH", batch)
        run_caption(config, [str(folder)], beam=2, json_output=True)
        found.append([(row["image"], row.get("caption")) for row in rows(capsys.readouterr().out)])
    assert found[0] == found[1] == found[2]
    run_caption(config, [str(folder / "deep" / "4.png")], beam=2, json_output=True)
    alone = rows(capsys.readouterr().out)[0]
    assert (alone["image"], alone["caption"]) in found[0]


def test_the_same_picture_in_other_files_gets_the_same_caption(config, folder, capsys):
    picture = Image.open(folder / "0.png")
    picture.save(folder / "same.webp", lossless=True)
    picture.convert("RGBA").save(folder / "same.tiff")
    run_caption(
        config, [str(folder / "0.png"), str(folder / "same.webp"), str(folder / "same.tiff")], json_output=True
    )
    assert len({row["caption"] for row in rows(capsys.readouterr().out)}) == 1


def test_names_that_are_no_utf8_are_printed(config, folder, capsys):
    os.rename(os.fsencode(folder / "0.png"), os.fsencode(folder) + b"/caf\xe9.png")
    run_caption(config, [str(folder)], beam=1, json_output=True)
    assert any("caf\ufffd.png" in row["image"] for row in rows(capsys.readouterr().out))


def test_nothing_readable_is_an_error_that_names_them(config, folder):
    with pytest.raises(DataError, match=r"none of 1 pictures.*bad\.jpg"):
        run_caption(config, [str(folder / "bad.jpg")])
    with pytest.raises(UsageError, match="--beam"):
        run_caption(config, [str(folder)], beam=0)
    with pytest.raises(UsageError, match="this is a folder"):
        run_caption(config, [str(folder)], out=str(folder))


def test_a_captioner_of_another_clip_is_refused(config, tmp_path):
    config.captioner.path = str(tiny_captioner(tmp_path / "wide", features=48, clip="ViT-L-14:openai"))
    with pytest.raises(UsageError, match=r"size 48, .* 32; .*ViT-L-14:openai"):
        CaptionAssistant(config)
    config.captioner.path = str(tmp_path)
    with pytest.raises(DataError, match="not a captioner"):
        CaptionAssistant(config)


def test_the_shipped_captioner_is_the_default():
    assert captioner_path(CaptioningConfig()).as_posix().endswith(SHIPPED)


def test_projection_is_decaps_weighted_mean_of_the_corpus(config):
    pictures = [example.picture() for example in load_pocket("test_seen", 3)]
    plain = CaptionAssistant(config)
    seen = plain.see([plain.prepare(picture) for picture in pictures])
    assert torch.allclose(plain.features(seen), seen, atol=1e-6)
    plain.captioner.align(seen, -seen)
    assert torch.allclose(plain.features(seen), plain.captioner.translate(seen))
    assert not torch.allclose(plain.features(seen), seen, atol=1e-2)
    config.captioner.projection = 50.0
    projecting = CaptionAssistant(config, clip=plain.clip)
    wanted = aggregate(seen, projecting.corpus(), 50.0)
    told = projecting.features(seen)
    assert torch.allclose(told, wanted / wanted.norm(dim=1, keepdim=True), atol=1e-6)
    assert not torch.allclose(told, seen, atol=1e-2)
    given = CaptionAssistant(config, clip=plain.clip, corpus=projecting.corpus()[:1])
    assert torch.allclose(given.features(seen), projecting.corpus()[:1].expand(3, -1), atol=1e-5)
    assert projecting.features(seen[:0]).shape == (0, 32)


def test_a_beam_of_one_says_what_the_captioner_says_greedily(config):
    assistant = CaptionAssistant(config)
    seen = assistant.see([assistant.prepare(example.picture()) for example in load_pocket("test_seen", 4)])
    greedy = assistant.captioner.generate(seen, 12).texts
    assert [found.text for found in assistant.caption(seen)] == greedy


def test_the_command_line(models, folder, tmp_path, capsys):
    clip, captioner = models
    settings = tmp_path / "empty.yaml"
    settings.write_text("seed: 0\n")
    options = [
        "--config",
        str(settings),
        "--clip.name",
        clip,
        "--captioner.path",
        captioner,
        "--captioner.max_new_tokens",
        "8",
    ]
    files = [str(folder / "0.png"), str(folder / "deep")]
    assert APP.main(["caption", *files, "--beam", "2", "--json", *options]) == 0
    assert len(rows(capsys.readouterr().out)) == 3
    assert APP.main(["caption", "nowhere.png", *options]) == 2
    assert "nowhere.png: no such file" in capsys.readouterr().err
    assert APP.main(["caption", str(folder), "--strict", *options]) == 1
    assert APP.main(["captoin"]) == 2
    assert "did you mean 'caption'" in capsys.readouterr().err


def test_help_of_every_verb_shows_whole_commands(capsys):
    for verb in APP.verbs:
        assert APP.main([verb.name, "--help"]) == 0
        shown = capsys.readouterr().out
        assert "examples:" in shown
        assert f"python -m apps.captioning {verb.name}" in shown
