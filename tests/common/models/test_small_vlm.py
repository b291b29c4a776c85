"""Small Qwen-VL models: stock classes that survive the disk, see their picture and speak Qwen's chat format."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers import AutoProcessor, AutoTokenizer, ProcessorMixin

from common.config import LanguageModelConfig
from common.errors import UsageError
from common.models.qwen_tokenizer import SPECIAL_TOKENS, small_tokenizer
from common.models.small_vlm import SmallVlmSettings, make_small_vlm, save_small_vlm, small_processor
from common.models.vlm_folder import load_vlm

ARCHITECTURES = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl")
TEXTS = ["<think>The left lung is clear.</think><answer>no</answer>", "Is there a nodule? Which side?"] * 20
Built = tuple[Any, Any]


@pytest.fixture(scope="module")
def built() -> dict[str, Built]:
    return {name: make_small_vlm(TEXTS, sizes(architecture=name)) for name in ARCHITECTURES}


def sizes(**changes: Any) -> SmallVlmSettings:
    return replace(SmallVlmSettings(), **changes)


def picture(grey: int = 40, spot: int = 200, side: int = 56) -> Image.Image:
    drawn = Image.new("L", (side, side), grey)
    drawn.paste(spot, (4, 4, side // 2, side // 2))
    return drawn


def user(text: str, *pictures: Image.Image) -> list[dict[str, Any]]:
    images = [{"type": "image", "image": image} for image in pictures]
    return [{"role": "user", "content": [*images, {"type": "text", "text": text}]}]


def encode(processor: Any, conversations: list[list[dict[str, Any]]]) -> Any:
    return processor.apply_chat_template(
        conversations,
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
        processor_kwargs={"padding": True},
    )


def logits(model: Any, batch: Any) -> torch.Tensor:
    with torch.no_grad():
        result: torch.Tensor = model(**batch).logits
    return result


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_model_comes_back_from_the_disk_as_it_was(built: dict[str, Built], name: str, tmp_path: Path) -> None:
    model, processor = built[name]
    save_small_vlm(model, processor, tmp_path / "model", half=False)
    again, its_processor = load_vlm(LanguageModelConfig(path=str(tmp_path / "model")))
    assert type(again) is type(model)
    assert type(its_processor) is type(processor)
    batch = [user("Is there a nodule?", picture()), user("Which side is it on?", picture(90), picture(60, side=112))]
    before, after = encode(processor, batch), encode(its_processor, batch)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert torch.equal(logits(model, before), logits(again, after))
    assert again.generation_config.eos_token_id == model.generation_config.eos_token_id


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_stock_loaders_find_a_whole_processor(built: dict[str, Built], name: str, tmp_path: Path) -> None:
    model, processor = built[name]
    save_small_vlm(model, processor, tmp_path / "model")
    found: Any = AutoProcessor.from_pretrained(tmp_path / "model")  # type: ignore[no-untyped-call]
    assert isinstance(found, ProcessorMixin)
    assert found.tokenizer.padding_side == "left"
    assert found.image_processor.size == processor.image_processor.size
    assert found.chat_template == processor.chat_template
    alone = AutoTokenizer.from_pretrained(tmp_path / "model")
    text = "The left lung, 12 mm:\n\n <|im_end|>Über-größe 左"
    assert alone(text)["input_ids"] == processor.tokenizer(text)["input_ids"]


def test_half_precision_on_the_disk_leaves_the_model_as_it_was(built: dict[str, Built], tmp_path: Path) -> None:
    model, processor = built["qwen2_5_vl"]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    save_small_vlm(model, processor, tmp_path / "half")
    save_small_vlm(model, processor, tmp_path / "whole", half=False)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.dtype == torch.float32
    again, _ = load_vlm(LanguageModelConfig(path=str(tmp_path / "half"), dtype="float32"))
    for name, value in again.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, before[name].half().float())
    half, whole = [(tmp_path / folder / "model.safetensors").stat().st_size for folder in ("half", "whole")]
    assert half < 0.55 * whole


def test_the_seed_decides_the_weights_and_nothing_else() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first, _ = make_small_vlm(TEXTS)
    assert torch.equal(torch.rand(3), expected)
    again, _ = make_small_vlm(TEXTS)
    other, _ = make_small_vlm(TEXTS, SmallVlmSettings(seed=1))
    name = "model.visual.patch_embed.proj.weight"
    assert torch.equal(first.state_dict()[name], again.state_dict()[name])
    assert not torch.equal(first.state_dict()[name], other.state_dict()[name])


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_pictures_reach_the_answer_and_batches_change_nothing(built: dict[str, Built], name: str) -> None:
    model, processor = built[name]
    rows = [
        user("Is there a nodule?", picture()),
        user("Which side is it on, and how large is it?", picture(10), picture(30, side=112)),
        user("No picture at all?"),
    ]
    batch = encode(processor, rows)
    assert torch.equal(batch["mm_token_type_ids"] == 1, batch["input_ids"] == model.config.image_token_id)
    assert (batch["attention_mask"][:, -1] == 1).all()
    together = logits(model, batch)[:, -1]
    for number, row in enumerate(rows):
        alone = logits(model, encode(processor, [row]))[0, -1]
        assert torch.allclose(alone, together[number], atol=2e-5)
    blank = logits(model, encode(processor, [user("Is there a nodule?", picture(40, 40))]))[0, -1]
    assert (blank - together[0]).abs().max() > 1e-4


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_answers_end_and_gradients_reach_the_first_patch(built: dict[str, Built], name: str) -> None:
    model, processor = built[name]
    batch = encode(processor, [user("Which side?", picture())])
    written = model.generate(**batch, max_new_tokens=3)
    assert written.shape[1] <= batch["input_ids"].shape[1] + 3
    model.zero_grad()
    model(**batch, labels=batch["input_ids"]).loss.backward()
    assert model.model.visual.patch_embed.proj.weight.grad.abs().sum() > 0
    model.zero_grad()


@settings(deadline=None, max_examples=30)
@given(side=st.integers(8, 700), grid=st.integers(1, 6), name=st.sampled_from(ARCHITECTURES))
def test_square_pictures_of_any_size_take_the_same_tokens(side: int, grid: int, name: str) -> None:
    chosen = sizes(architecture=name, grid=grid, largest_grid=0)
    processor: Any = small_processor(small_tokenizer(TEXTS, 300), chosen)
    found = processor.image_processor(Image.new("L", (side, side)), return_tensors="pt")
    assert found["image_grid_thw"].tolist() == [[1, 2 * grid, 2 * grid]]
    assert chosen.side == 2 * grid * chosen.patch


@settings(deadline=None, max_examples=60)
@given(text=st.text(max_size=60))
def test_any_text_is_read_back(built: dict[str, Built], text: str) -> None:
    tokenizer = built["qwen2_5_vl"][1].tokenizer
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.decode(ids) == unicodedata.normalize("NFC", text)


def test_special_tokens_are_one_token_each_and_vocabulary_is_kept(built: dict[str, Built]) -> None:
    tokenizer = built["qwen2_5_vl"][1].tokenizer
    ids = [tokenizer(token)["input_ids"] for token in SPECIAL_TOKENS]
    assert [len(each) for each in ids] == [1] * len(SPECIAL_TOKENS)
    assert len({each[0] for each in ids}) == len(SPECIAL_TOKENS)
    assert len(small_tokenizer(TEXTS, 300)) == 300
    assert len(tokenizer(TEXTS[0])["input_ids"]) < len(small_tokenizer(TEXTS, 270)(TEXTS[0])["input_ids"]) / 2


@pytest.mark.parametrize("name", ["qwen2_5_vl", "qwen3_vl"])
def test_the_chat_format_is_the_one_that_qwen_uses(built: dict[str, Built], name: str) -> None:
    import importlib.resources

    pytest.importorskip("trl")
    theirs = importlib.resources.files("trl").joinpath(f"chat_templates/{name}.jinja").read_text(encoding="utf-8")
    conversation = [
        {"role": "system", "content": "Be brief."},
        *user("Which side?", picture(), picture()),
        {"role": "assistant", "content": "<answer>left</answer>"},
        {"role": "user", "content": "Sure?"},
    ]
    processor = built[name][1]
    for opening in (False, True):
        ours = processor.apply_chat_template(conversation, add_generation_prompt=opening, tokenize=False)
        assert ours == processor.apply_chat_template(
            conversation, chat_template=theirs, add_generation_prompt=opening, tokenize=False
        )


def test_what_the_assistant_said_is_marked(built: dict[str, Built]) -> None:
    tokenizer = built["qwen2_5_vl"][1].tokenizer
    conversation = [{"role": "user", "content": "Which side?"}, {"role": "assistant", "content": "left"}]
    found = tokenizer.apply_chat_template(
        conversation, tokenize=True, return_dict=True, return_assistant_tokens_mask=True
    )
    said = [token for token, mark in zip(found["input_ids"], found["assistant_masks"], strict=True) if mark]
    assert tokenizer.decode(said) == "left<|im_end|>\n"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"hidden_size": 60}, "hidden_size"),
        ({"vision_heads": 3}, "vision_heads"),
        ({"kv_heads": 3}, "kv_heads"),
        ({"vision_intermediate": 50}, "vision_intermediate"),
        ({"grid": 5}, "largest_grid"),
        ({"vocabulary": 200}, "vocabulary"),
        ({"architecture": "qwen9_vl"}, "architecture"),
    ],
)
def test_sizes_that_do_not_go_together_are_refused(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        make_small_vlm(TEXTS, sizes(**changes))


def test_sizes_are_taken_from_settings_that_name_them_so() -> None:
    from types import SimpleNamespace

    settings = SimpleNamespace(hidden_size=128, heads=8, vision_steps=9, seed=5)
    found = SmallVlmSettings.of(settings, kv_heads=8, seed=1)
    assert (found.hidden_size, found.heads, found.kv_heads, found.seed) == (128, 8, 8, 1)
    assert found.layers == SmallVlmSettings().layers
