"""Settings that ask for more than the weights beside them are refused by every loader, before anything is built."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from common.config import LanguageModelConfig
from common.errors import DataError, UsageError
from common.files import locate
from common.models.sizes import Held, check_layers, check_network, held_in, weight_files


def _language(folder: Path) -> None:
    from common.models.language import load_language_model

    load_language_model(LanguageModelConfig(path=str(folder)))


def _vision(folder: Path) -> None:
    from common.models.vlm_folder import load_vlm

    load_vlm(LanguageModelConfig(path=str(folder)))


def _clip(folder: Path) -> None:
    from common.models.clip import Clip

    assert Clip(folder).model


def _student(folder: Path) -> None:
    from common.models.clip_student import ClipStudent

    ClipStudent(folder)


def _encoder(folder: Path) -> None:
    from common.models.text import load_encoder

    load_encoder(folder)


def _classifier(folder: Path) -> None:
    from common.rewards.trained.discriminator import Classifier

    Classifier(folder).logits(["a dog"])


def _learned(folder: Path) -> None:
    from common.rewards.trained.learned_reward import LearnedReward

    LearnedReward(folder)(prompt=["a"], completion=["b"])


def _captioner(folder: Path) -> None:
    from apps.captioning.model import load_captioner

    load_captioner(folder)


def _diffusion(folder: Path) -> None:
    from apps.text3d.guidance.prior import load_prior

    load_prior(folder)


def _policy(folder: Path) -> None:
    from common.training.sb3.model import load_policy

    load_policy(folder)


@pytest.mark.parametrize(
    ("load", "source", "file", "place", "size"),
    [
        (_language, "text2sql/model", "config.json", ("num_hidden_layers",), 10**9),
        (_language, "text2sql/model", "config.json", ("vocab_size",), 10**12),
        (_language, "text2sql/model", "config.json", ("intermediate_size",), 10**9),
        (_vision, "medvqa/model", "config.json", ("vision_config", "depth"), 10**7),
        (_vision, "medvqa/model", "config.json", ("vision_config", "out_hidden_size"), 10**6),
        (_clip, "captioning/clip", "open_clip_config.json", ("model_cfg", "embed_dim"), 10**6),
        (_clip, "captioning/clip", "open_clip_config.json", ("model_cfg", "text_cfg", "layers"), 10**7),
        (_student, "driving/student", "student.json", ("shape", "width"), 10**6),
        (_encoder, "text2sql/encoder", "encoder.json", ("buckets",), 10**9),
        (_classifier, "captioning/discriminator", "config.json", ("num_hidden_layers",), 10**9),
        (_learned, "rewards/answers", "reward.json", ("head", "hidden"), 10**9),
        (_captioner, "captioning/captioner", "captioner.json", ("features",), 10**6),
        (_captioner, "captioning/captioner", "captioner.json", ("prefix_length",), 10**6),
        (_captioner, "captioning/captioner", "decoder/config.json", ("n_layer",), 10**9),
        (_captioner, "captioning/captioner", "decoder/config.json", ("n_positions",), 10**6),
        (_diffusion, "text3d/diffusion", "unet/config.json", ("layers_per_block",), 10**7),
        (_diffusion, "text3d/diffusion", "unet/config.json", ("block_out_channels", 2), 96 * 10**4),
        (_diffusion, "text3d/diffusion", "text_encoder/config.json", ("vocab_size",), 10**9),
        (_diffusion, "text3d/diffusion", "scheduler/scheduler_config.json", ("num_train_timesteps",), 10**10),
        (_policy, "driving/policy", "config.json", ("net",), [16_384] * 32),
        (_policy, "driving/policy", "config.json", ("observation_space", "spaces", "measures", "shape"), [10**7]),
    ],
)
def test_sizes_that_the_weights_do_not_have(
    tmp_path: Path, load: Callable[[Path], None], source: str, file: str, place: tuple[Any, ...], size: Any
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(locate(f"assets/{source}"), folder)
    settings = json.loads((folder / file).read_text())
    within = settings
    for name in place[:-1]:
        within = within[name]
    assert place[-1] in within or isinstance(place[-1], int)
    within[place[-1]] = size
    (folder / file).write_text(json.dumps(settings))
    with pytest.raises(UsageError, match=r"weights beside it|those beside it|num_train_timesteps") as raised:
        load(folder)
    # A head's sizes are held against its own file.
    assert Path(file).name in str(raised.value) or "head.safetensors" in str(raised.value)


@pytest.mark.parametrize(
    ("place", "message"), [("size.shortest_edge", "min_pixels"), ("temporal_patch_size", "temporal_patch_size")]
)
def test_processors_that_would_enlarge_or_repeat_a_picture_without_end(
    tmp_path: Path, place: str, message: str
) -> None:
    from common.models.vlm import VisionLanguageModel, ask

    folder = tmp_path / "model"
    shutil.copytree(locate("assets/medvqa/model"), folder)
    settings = json.loads((folder / "processor_config.json").read_text())
    within, last = settings["image_processor"], place.rpartition(".")[2]
    (within["size"] if "." in place else within)[last] = 10**9
    within["size"]["longest_edge"] = 10**12
    (folder / "processor_config.json").write_text(json.dumps(settings))
    with pytest.raises(UsageError, match=message):
        VisionLanguageModel(folder).generate([ask("What?")], 1)


def test_what_files_hold(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(3, 5), "b": torch.zeros(7, dtype=torch.uint8)}, tmp_path / "a.safetensors")
    assert held_in([tmp_path / "a.safetensors"]) == Held(2, 15 + 7 * 8)
    (tmp_path / "b.bin").write_bytes(b"1234")
    (tmp_path / "c.json").write_text("{}")
    assert [file.name for file in weight_files(tmp_path)] == ["a.safetensors", "b.bin"]
    assert held_in(weight_files(tmp_path)).numbers == 15 + 56 + 32
    (tmp_path / "b.safetensors").write_bytes(b"\xff" * 64)
    with pytest.raises(DataError, match=r"b\.safetensors: damaged"):
        held_in([tmp_path / "b.safetensors"])


def test_what_real_settings_say_is_let_through() -> None:
    """Qwen2's settings name a window of 28 layers, whatever the model has."""
    check_layers({"max_window_layers": 28, "text_config": {"num_hidden_layers": 2}}, Held(24, 0), Path("config.json"))
    with pytest.raises(DataError, match=r"config\.json: num_hidden_layers is inf"):
        check_layers([{"num_hidden_layers": float("inf")}], Held(24, 0), Path("config.json"))


def test_weights_that_are_ready_made_do_not_count() -> None:
    ready = nn.Linear(4000, 4000)
    check_network(lambda: nn.Sequential(ready, nn.Linear(2, 2)), Held(2, 6), Path("config.json"))
    with pytest.raises(DataError, match="16,004,000 numbers"):
        check_network(lambda: nn.Linear(4000, 4000), Held(2, 6), Path("config.json"))
