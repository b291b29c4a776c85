"""Every recipe in configs/captioning loads and dry-runs, on the real models' shapes and data in the real layout."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from apps.captioning import dry_run_models
from apps.captioning.__main__ import APP
from apps.captioning.config import CaptioningConfig
from apps.captioning.dry_run import Check, check, show
from apps.captioning.prepare import run_prepare
from apps.captioning.train import run_train
from common.config import load
from common.errors import UsageError
from tests.apps.captioning.tiny import tiny_captioner, tiny_decoder_folder
from tests.common.models.tiny_clip import tiny_clip_folder

CONFIGS = Path(__file__).resolve().parents[3] / "configs" / "captioning"
FILES = sorted(CONFIGS.glob("*.yaml"))
RECIPES = [file for file in FILES if file.stem.startswith("cgtgan")]
COCO = CONFIGS / "cgtgan-coco-vitl14.yaml"
FLICKR = CONFIGS / "cgtgan-cross-flickr30k.yaml"


@pytest.fixture(autouse=True)
def _no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same answers on a machine that has the hub or its files."""
    monkeypatch.setattr(dry_run_models, "unreachable", lambda: "no connection to the hub")
    monkeypatch.setattr(dry_run_models, "cached", lambda path: False)


def karpathy(path: Path, prefix: str, splits: dict[str, int], pictures: Path | None = None) -> Path:
    """Karpathy's file; with `pictures` the files of that folder are drawn too."""
    images = []
    for split, number in splits.items():
        for row in range(number):
            name = f"{prefix}_{split}_{row}.jpg"
            said = [{"raw": f"Picture {row} of {prefix} {split} shows thing {row * 7 + place}."} for place in range(5)]
            images.append({"filename": name, "split": split, "imgid": len(images), "sentences": said})
            if pictures is not None:
                pictures.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (32, 24), (row * 9 % 255, 80, 120)).save(pictures / name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"dataset": prefix, "images": images}))
    return path


def flickr_options(folder: Path) -> list[str]:
    """What a user with the data on disk adds to the command across data sets."""
    pictures = folder / "flickr30k-images"
    flickr = karpathy(folder / "dataset_flickr30k.json", "flickr", {"train": 6, "val": 3, "test": 3}, pictures)
    coco = karpathy(folder / "coco" / "dataset_coco.json", "coco", {"train": 5, "restval": 4, "val": 2})
    options = ["--corpus.path", str(coco)]
    for part in ("train", "validation", "heldout"):
        options += [f"--{part}.path", str(flickr), f"--{part}.images", str(pictures)]
    return options


def by_name(checks: list[Check]) -> dict[str, Check]:
    return {found.name: found for found in checks}


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_every_file_loads(file):
    config = load(CaptioningConfig, file)
    assert config.rl.steps > 0
    assert config.threads >= 0


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_an_unknown_key_is_an_error_that_names_the_nearest(file, tmp_path):
    changed = tmp_path / file.name
    changed.write_text(file.read_text("utf-8") + "\nthreds: 1\n")
    with pytest.raises(UsageError, match=r"unknown key 'threds'; did you mean 'threads'"):
        load(CaptioningConfig, changed)
    with pytest.raises(UsageError, match="samples"):
        load(CaptioningConfig, file, ["--rl.sampels", "3"])


@pytest.mark.parametrize("file", RECIPES, ids=lambda path: path.stem)
def test_recipe_says_how_to_run_it_on_what_how_long_and_with_what_figure(file):
    header = "".join(re.findall(r"^#.*\n", file.read_text("utf-8"), re.M))
    for word in ("Run:", "Hardware:", "Time:", "Figure:", "Not run here", "Not as published:", "accelerate launch"):
        assert word in header, f"{file.name} lacks {word}"
    assert f"configs/captioning/{file.name}" in header


@pytest.mark.parametrize("file", RECIPES, ids=lambda path: path.stem)
def test_recipe_has_the_published_settings(file):
    config = load(CaptioningConfig, file)
    rl, reward, init = config.rl, config.reward, config.init
    assert (rl.samples, rl.pictures_per_step, rl.baseline, rl.scale) == (5, 128, "greedy", "none")
    assert (rl.learning_rate, rl.weight_decay, rl.warmup, rl.schedule) == (1e-5, 0.05, 150, "constant")
    assert (rl.ramp_start, rl.ramp_steps, rl.ramp_top) == (150, 2350, 0.5)
    assert rl.length_normalise
    assert (reward.clip_cos, reward.clip_agg, reward.naturalness) == (0, 1, 1)
    assert (reward.temperature, reward.cos_weight, reward.top_k, reward.paired) == (100, 0.5, 0, False)
    assert (init.batch_size, init.learning_rate, init.warmup, init.noise) == (16, 2e-5, 5000, 0)
    assert (config.captioner.prefix_length, config.captioner.mapper) == (10, "mlp")
    assert config.captioner.max_new_tokens == 20
    assert config.discriminator.learning_rate == 1e-5
    # The trainer never chooses weights by annotated captions.
    assert rl.select == "reward"
    pictures = {COCO: 56_643, FLICKR: 29_000}[file]
    assert rl.steps == int(50 * pictures / 128)
    assert "scene" not in config.evaluate.metrics


@pytest.mark.parametrize("file", RECIPES, ids=lambda path: path.stem)
def test_recipe_is_dry_run_without_its_data_and_without_a_hub(file, capsys):
    config = load(CaptioningConfig, file)
    found = by_name(check(config))
    assert not [f"{one.name}: {one.detail}" for one in found.values() if one.passed is False]
    assert {name for name, one in found.items() if one.passed} == {
        "clip",
        "rewards",
        "batches",
        "memory",
        "run folder",
    }
    assert "put the data set there, or set train.path" in found["training pictures"].detail
    # The published sizes: ViT-L/14, GPT-2 small with CgT-GAN's mapper, RoBERTa-base.
    assert "427.6 M weights, features of size 768" in found["clip"].detail
    assert "GPT2LMHeadModel, 124.4 M weights, after a mapper (mlp) of 32.5 M" in found["captioner"].detail
    assert "RobertaForSequenceClassification, 124.6 M weights" in found["discriminator"].detail
    assert "share rises to 0.5 at step 2,500" in found["rewards"].detail
    told = re.search(r"about (\d+) GB for 640 captions", found["memory"].detail)
    assert told
    assert f"about {told[1]} GB" in file.read_text("utf-8"), "the header tells another estimate"
    assert "processes" not in found["batches"].detail
    assert run_train(config, dry_run=True) == 0
    printed = capsys.readouterr()
    assert "not checked" in printed.out
    assert "7 of 12 checks could not be made" in printed.err


@pytest.mark.parametrize("file", RECIPES, ids=lambda path: path.stem)
def test_recipe_fits_its_two_gpus_and_small_ones_in_passes(file, monkeypatch):
    header = file.read_text("utf-8")
    small = ["--rl.micro_batch", "64", "--discriminator.micro_batch", "64"]
    told = by_name(check(load(CaptioningConfig, file, small)))["memory"].detail
    assert told.partition(" for ")[0] in header
    assert "for 64 captions at once:" in told
    # The judge's texts, all at once, take more than 64 captions.
    assert "about 13 GB" in by_name(check(load(CaptioningConfig, file, small[:2])))["memory"].detail
    monkeypatch.setenv("WORLD_SIZE", "2")
    found = by_name(check(load(CaptioningConfig, file)))
    assert found["batches"].detail.endswith("each of 2 processes takes an equal part of every step")
    assert "for 320 captions at once in each of 2 processes" in found["memory"].detail
    assert found["memory"].detail.partition(" for ")[0] in header
    monkeypatch.setenv("WORLD_SIZE", "3")
    found = by_name(check(load(CaptioningConfig, file)))
    assert found["batches"].passed is False
    assert "init.batch_size: 16 does not divide by 3 processes" in found["batches"].detail
    # Only the main process speaks.
    monkeypatch.setenv("RANK", "1")
    assert run_train(load(CaptioningConfig, file), dry_run=True) == 0


def test_recipe_is_dry_run_on_data_in_its_layout(tmp_path):
    config = load(CaptioningConfig, FLICKR, [*flickr_options(tmp_path), "--runs", str(tmp_path / "runs")])
    found = by_name(check(config))
    assert not [f"{one.name}: {one.detail}" for one in found.values() if one.passed is False]
    assert found["training pictures"].detail == "6 pictures, 30 captions"
    assert found["corpus"].detail.startswith("45 sentences")
    assert found["unpaired"].passed
    assert "times over the data" in found["batches"].detail
    assert not (tmp_path / "runs").exists()


def test_cocos_recipe_is_dry_run_on_what_its_first_command_makes(tmp_path):
    pictures = tmp_path / "train2014"
    coco = karpathy(tmp_path / "dataset_coco.json", "coco", {"train": 8, "restval": 2, "val": 3, "test": 3}, pictures)
    written = [str(tmp_path / name) for name in ("pictures.jsonl", "corpus.jsonl")]
    run_prepare(CaptioningConfig(), str(coco), "karpathy", written[0], str(pictures), "train+restval", written[1])
    options = ["--train.path", written[0], "--corpus.path", written[1]]
    for part in ("validation", "heldout"):
        options += [f"--{part}.path", str(coco), f"--{part}.images", str(pictures)]
    found = by_name(check(load(CaptioningConfig, COCO, options)))
    assert found["training pictures"].detail == "5 pictures, 25 captions"
    assert found["corpus"].detail.startswith("25 sentences")
    assert found["unpaired"].passed, found["unpaired"].detail


def test_the_verb_prepare_runs(tmp_path):
    coco = karpathy(tmp_path / "dataset_coco.json", "coco", {"train": 4}, tmp_path / "train2014")
    source = ["--source", str(coco), "--format", "karpathy", "--images", str(tmp_path / "train2014")]
    assert APP.main(["prepare", *source, "--out", str(tmp_path / "pictures.jsonl")]) == 0


def small(tmp_path: Path, *more: str) -> CaptioningConfig:
    """The pocket world with tiny models on disk."""
    options = ["--clip.name", f"local-dir:{tiny_clip_folder(tmp_path / 'clip')}"]
    options += ["--captioner.decoder", str(tiny_decoder_folder(tmp_path / "decoder"))]
    options += ["--captioner.max_new_tokens", "20", "--init.path", ""]
    for part in ("train", "validation", "heldout", "corpus"):
        options += [f"--{part}.limit", "20"]
    return load(CaptioningConfig, CONFIGS / "pocket.yaml", [*options, *more])


def test_a_recipe_whose_models_are_here_passes_whole(tmp_path, capsys):
    config = small(tmp_path)
    assert [one.detail for one in check(config) if one.passed is not True] == []
    loaded = ["--captioner.path", str(tiny_captioner(tmp_path / "captioner")), "--init.further"]
    trained, further = (small(tmp_path, *loaded, steps) for steps in ("0", "3"))
    assert by_name(check(trained))["captioner"].passed
    assert "initialisation" not in by_name(check(trained))["batches"].detail
    assert "initialisation 3 steps" in by_name(check(further))["batches"].detail
    assert run_train(config, dry_run=True, json_output=True) == 0
    assert {row["name"] for row in json.loads(capsys.readouterr().out)} >= {"clip", "memory", "unpaired"}


@pytest.mark.parametrize(
    ("change", "name", "message"),
    [
        (["--clip.name", "local-dir:nowhere"], "clip", "no CLIP at nowhere"),
        (["--clip.name", "ViT-L-41", "--clip.pretrained", "openai"], "clip", "knows no model 'ViT-L-41'"),
        (["--clip.name", "ViT-L-14", "--clip.pretrained", "opnai"], "clip", "no weights 'opnai'; known: openai"),
        (["--captioner.decoder", "./nowhere"], "captioner", "no model at nowhere"),
        (["--captioner.path", "nowhere"], "captioner", "holds no captioner.json"),
        (["--captioner.max_new_tokens", "500"], "captioner", "do not fit the decoder's 64 places"),
        (["--reward.clip_cos", "0", "--reward.grammar", "0"], "rewards", "every weight is 0"),
        (["--reward.cider", "1"], "rewards", "set reward.paired"),
        (["--rl.ramp_steps", "10"], "rewards", "hand over from naturalness"),
        (["--rl.samples", "1"], "batches", "at least 2"),
        (["--rl.pictures_per_step", "0"], "batches", "1 or more"),
        (["--train.split", "nothing"], "training pictures", "no 'nothing'"),
    ],
)
def test_a_recipe_that_cannot_run_says_why(change, name, message, tmp_path):
    config = small(tmp_path, *change)
    found = by_name(check(config))
    assert found[name].passed is False, found[name]
    assert message in found[name].detail
    assert show(list(found.values()), False) == 2


def test_a_captioner_of_another_clip_fails(tmp_path):
    wide = tiny_captioner(tmp_path / "wide", features=48, clip="ViT-L-14:openai")
    found = by_name(check(small(tmp_path, "--captioner.path", str(wide))))
    assert found["captioner"].passed is False
    assert "size 48, and CLIP makes 32" in found["captioner"].detail


def test_models_of_the_hub_are_not_checked_where_it_is_not(tmp_path):
    found = by_name(check(small(tmp_path, "--captioner.decoder", "someone/their-gpt2")))
    assert found["captioner"].passed is None
    assert "someone/their-gpt2: no connection to the hub; give a folder" in found["captioner"].detail
    assert found["memory"].passed is None
    found = by_name(check(small(tmp_path, "--clip.name", "hf-hub:someone/their-clip")))
    assert found["clip"].passed is None


def test_paired_training_is_said(tmp_path):
    found = by_name(check(small(tmp_path, "--reward.paired", "true", "--reward.cider", "1")))
    assert "paired on purpose" in found["unpaired"].detail
    assert found["rewards"].passed


def test_a_corpus_of_the_pictures_own_captions_fails(tmp_path):
    pictures = tmp_path / "images"
    coco: Any = karpathy(tmp_path / "dataset_coco.json", "coco", {"train": 6, "val": 2, "test": 2}, pictures)
    options = ["--corpus.format", "karpathy", "--corpus.path", str(coco), "--corpus.split", "train"]
    for part, split in (("train", "train"), ("validation", "val"), ("heldout", "test")):
        options += [f"--{part}.format", "karpathy", f"--{part}.path", str(coco), f"--{part}.split", split]
        options += [f"--{part}.images", str(pictures)]
    found = by_name(check(small(tmp_path, *options)))
    assert found["unpaired"].passed is False
    assert "are captions of" in found["unpaired"].detail
