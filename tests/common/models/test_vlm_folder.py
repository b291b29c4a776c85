"""Models and processors are read from a folder whole, or the error says what is wrong and what to do."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from transformers import AutoProcessor, ProcessorMixin, Qwen2_5_VLProcessor

from common.config import LanguageModelConfig, LoraConfig
from common.errors import UsageError
from common.models.small_vlm import SmallVlmSettings, make_small_vlm, save_small_vlm
from common.models.vlm import VisionLanguageModel, ask
from common.models.vlm_folder import check_pair, describe_vlm_on_meta, load_processor, load_vlm, save_vlm

FAMILIES = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    built = {name: make_small_vlm(["yes no"], SmallVlmSettings(architecture=name)) for name in FAMILIES}
    return {name: save_small_vlm(*pair, root / name, half=False) for name, pair in built.items()}


@pytest.fixture(params=FAMILIES)
def folder(request: pytest.FixtureRequest, folders: dict[str, Path]) -> Path:
    return folders[request.param]


def config(path: Path | str, **changes: Any) -> LanguageModelConfig:
    return LanguageModelConfig(path=str(path), device="cpu", **changes)


class TestLoad:
    def test_frozen_or_to_be_trained(self, folder: Path) -> None:
        model, processor = load_vlm(config(folder))
        assert not model.training
        assert not any(parameter.requires_grad for parameter in model.parameters())
        assert isinstance(processor, ProcessorMixin)
        assert processor.tokenizer.padding_side == "left"
        model, _ = load_vlm(config(folder, dtype="bfloat16"), training=True)
        assert model.training
        assert all(parameter.requires_grad for parameter in model.parameters())
        assert model.dtype == torch.float32

    def test_dtype(self, folder: Path) -> None:
        model, _ = load_vlm(config(folder, dtype="bfloat16"))
        assert model.dtype == torch.bfloat16
        answers = VisionLanguageModel(config(folder, dtype="bfloat16")).generate(
            [ask("?", [Image.new("RGB", (60, 60))]), ask("??")], 3
        )
        assert len(answers) == 2

    def test_right_padding_on_disk_is_put_right(self, folder: Path, tmp_path: Path) -> None:
        copy = shutil.copytree(folder, tmp_path / "right")
        file = copy / "tokenizer_config.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "padding_side": "right"}))
        assert AutoProcessor.from_pretrained(copy).tokenizer.padding_side == "right"
        assert load_processor(config(copy)).tokenizer.padding_side == "left"

    def test_a_processor_from_elsewhere(self, folders: dict[str, Path], tmp_path: Path) -> None:
        copy = shutil.copytree(folders["qwen2_5_vl"], tmp_path / "bare")
        for file in copy.glob("*processor*"):
            file.unlink()
        _, processor = load_vlm(config(copy, tokenizer=str(folders["qwen2_5_vl"])))
        assert isinstance(processor, ProcessorMixin)

    def test_saved_and_loaded(self, folder: Path, tmp_path: Path) -> None:
        model, processor = load_vlm(config(folder))
        saved = save_vlm(model, processor, tmp_path / "saved")
        prompt = [ask("?", [Image.effect_noise((60, 90), 90)])]
        first, second = (VisionLanguageModel(path).log_prob(prompt, ["yes"])[0] for path in (folder, saved))
        torch.testing.assert_close(first, second, atol=1e-6, rtol=0)


class TestRefused:
    def test_nothing_there(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="no such model folder"):
            load_vlm(config(tmp_path / "absent"))
        with pytest.raises(UsageError, match="cannot load a model from there"):
            load_vlm(config(tmp_path))
        with pytest.raises(UsageError, match="no model given"):
            load_vlm(config(""))

    def test_a_language_model(self, tmp_path: Path) -> None:
        (tmp_path / "config.json").write_text(
            json.dumps({"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"]})
        )
        with pytest.raises(UsageError, match="this is a qwen2 model; use one of qwen2_vl, qwen2_5_vl, qwen3_vl"):
            load_vlm(config(tmp_path))

    def test_gguf(self, folder: Path) -> None:
        (folder / "model.gguf").write_bytes(b"GGUF")
        try:
            with pytest.raises(UsageError, match="holds no vision tower"):
                load_vlm(config(folder, gguf_file="model.gguf"))
        finally:
            (folder / "model.gguf").unlink()

    def test_a_processor_that_reads_as_a_bare_tokenizer(self, folder: Path, tmp_path: Path) -> None:
        copy = shutil.copytree(folder, tmp_path / "subclass")
        for file in copy.glob("*.json"):
            text = file.read_text()
            for name in ("Qwen2VLProcessor", "Qwen2_5_VLProcessor", "Qwen3VLProcessor"):
                text = text.replace(f'"{name}"', '"MyProcessor"')
            file.write_text(text)
        with pytest.raises(UsageError, match=r"bare .*Tokenizer.*copy the processor files"):
            load_vlm(config(copy))

    def test_a_processor_that_would_read_as_a_bare_tokenizer(self, folders: dict[str, Path], tmp_path: Path) -> None:
        class MyProcessor(Qwen2_5_VLProcessor):
            pass

        model, processor = load_vlm(config(folders["qwen2_5_vl"]))
        own = MyProcessor(processor.image_processor, processor.tokenizer, processor.video_processor)
        with pytest.raises(UsageError, match="does not know the class MyProcessor"):
            save_vlm(model, own, tmp_path / "saved")
        assert not (tmp_path / "saved").exists()

    def test_pairs_that_do_not_go_together(self, folders: dict[str, Path]) -> None:
        model, processor = load_vlm(config(folders["qwen2_5_vl"]))
        with pytest.raises(UsageError, match="bare"):
            check_pair(model, processor.tokenizer)
        processor.tokenizer.padding_side = "right"
        with pytest.raises(UsageError, match=r"pads on the right.*padding_side = \"left\""):
            VisionLanguageModel.of(model, processor)
        processor.tokenizer.padding_side = "left"
        template, processor.chat_template = processor.chat_template, None
        with pytest.raises(UsageError, match="no chat template"):
            check_pair(model, processor)
        processor.chat_template = template
        model.config.image_token_id += 1
        with pytest.raises(UsageError, match="take the model's own processor"):
            check_pair(model, processor)


class TestOnMeta:
    def test_counts(self, folder: Path) -> None:
        model, _ = load_vlm(config(folder))
        described = describe_vlm_on_meta(config(folder))
        assert described.architecture == type(model).__name__
        assert described.parameters == described.trainable == model.num_parameters()
        adapted = describe_vlm_on_meta(config(folder, lora=LoraConfig(rank=2, target_modules=["q_proj", "v_proj"])))
        assert adapted.parameters == described.parameters
        # Per layer: 64 -> 64 and 64 -> 32, each of rank 2.
        assert adapted.trainable == 2 * 2 * ((64 + 64) + (64 + 32))
        with pytest.raises(UsageError, match="LoRA does not fit"):
            describe_vlm_on_meta(config(folder, lora=LoraConfig(target_modules=["nothing"])))


def test_with_adapters(folder: Path) -> None:
    from peft import get_peft_model

    from common.models.language import peft_config

    model, processor = load_vlm(config(folder))
    prompts = [ask("?", [Image.effect_noise((60, 90), 90)]), ask("yes?")]
    before = VisionLanguageModel.of(model, processor).sample(prompts, 4)
    adapted = get_peft_model(model, peft_config(LoraConfig(target_modules=["q_proj", "v_proj"])))
    assert VisionLanguageModel.of(adapted, processor).sample(prompts, 4) == before
