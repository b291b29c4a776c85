"""Prompts with pictures are read as transformers' own processor reads them, and what it lets pass is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from transformers import AutoTokenizer

from common.config import LanguageModelConfig
from common.errors import DataError, UsageError
from common.models.small_vlm import save_small_vlm
from common.models.vlm_folder import load_processor
from common.training.vision import bounded, load_vlm_for_training, place, read_prompts
from tests.common.training import seeing


@pytest.mark.parametrize("family", seeing.FAMILIES)
def test_tokens_and_patches_are_the_processors_own(family: str) -> None:
    processor = seeing.processor(family)
    prompts = [seeing.prompt(number) for number in range(6)]
    images: list[Any] = [seeing.pictures(number) for number in range(6)]
    theirs = seeing.encoded(processor, prompts, images)
    images[0] = None  # which they would not take
    ours = read_prompts(processor, prompts, images)
    for ids, padded, mask in zip(ours.ids, theirs["input_ids"], theirs["attention_mask"], strict=True):
        assert ids == padded[mask.bool()].tolist()
    tensors = ours.tensors(ours.of(range(6)))
    assert torch.equal(tensors["pixel_values"], theirs["pixel_values"])
    assert torch.equal(tensors["image_grid_thw"], theirs["image_grid_thw"])


def test_a_picture_is_processed_once_wherever_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    processor, one, two = seeing.processor(), seeing.picture(1), seeing.picture(2)
    processed: list[int] = []
    own = type(processor.image_processor).__call__

    def counted(self: Any, images: Any, **more: Any) -> Any:
        processed.append(len(images))
        return own(self, images, **more)

    monkeypatch.setattr(type(processor.image_processor), "__call__", counted)
    read = read_prompts(processor, [seeing.prompt(0)] * 3, [[one, two], [two.copy()], [one, one]])
    assert processed == [2]
    assert read.pictures == [[0, 1], [1], [0, 0]]


def test_no_pictures_at_all() -> None:
    read = read_prompts(seeing.processor(), [seeing.prompt(1)], [[]])
    assert read.tensors(read.of([0])) == {}
    assert read_prompts(seeing.processor(), [], []).ids == []


def test_pictures_stand_where_their_blocks_are_or_before_the_first_user() -> None:
    text = {"type": "text", "text": "Which?"}
    plain = [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}, {"role": "user", "content": "r"}]
    assert [block["type"] for message in place(plain, 2) for block in message["content"]] == [
        *("text", "image", "image", "text", "text")
    ]
    # As Arrow gives it back: every block has every field.
    marked = [{"role": "user", "content": [{**text, "image": None}, {"type": "image", "text": None, "image": None}]}]
    assert place(marked, 1) == [{"role": "user", "content": [text, {"type": "image"}]}]


@pytest.mark.parametrize(
    ("content", "count", "message"),
    [
        ([{"type": "image"}, {"type": "text", "text": "q"}], 2, "2 pictures and 1 placeholders"),
        ([{"type": "text", "text": "q"}], 1, "1 pictures and 0 placeholders"),
        ([{"type": "image"}], 0, "0 pictures and 1 placeholders"),
        ([{"type": "image", "image": {"bytes": b"", "path": None}}], 1, "column images"),
    ],
)
def test_placeholders_must_fit_the_pictures(content: Any, count: int, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        place([{"role": "user", "content": content}], count)


@pytest.mark.parametrize("token", ["<|image_pad|>", "<|video_pad|>"])
def test_a_text_that_holds_a_picture_token_is_refused(token: str) -> None:
    with pytest.raises(UsageError, match="stand for pictures"):
        read_prompts(seeing.processor(), [[{"role": "user", "content": f"what is {token}?"}]], [[seeing.picture(1)]])


def test_pictures_that_cannot_be_read_are_explained(tmp_path: Path) -> None:
    processor, prompt = seeing.processor(), seeing.prompt(0)
    with pytest.raises(UsageError, match="aspect ratio"):
        read_prompts(processor, [prompt], [[Image.new("L", (2100, 10))]])
    with pytest.raises(DataError, match=r"gone\.png"):
        read_prompts(processor, [prompt], [[tmp_path / "gone.png"]])


def test_grey_of_16_bits_is_windowed_not_cut_off() -> None:
    """transformers cuts it off at 255: what is brighter, all of a usual film, would be one white."""
    deep = Image.new("I;16", (56, 56), 2000)
    deep.paste(4000, (0, 0, 28, 56))
    read = read_prompts(seeing.processor(), [seeing.prompt(0)], [[deep]])
    assert read.patches[0].max() - read.patches[0].min() > 3


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F"])
def test_pictures_of_every_mode_and_size(mode: str) -> None:
    processor, shown = seeing.processor(), Image.new(mode, (90, 40))
    read = read_prompts(processor, [seeing.prompt(0)], [[shown, Image.new("RGB", (1, 1))]])
    assert all(torch.isfinite(patches).all() for patches in read.patches)
    assert read.grids[1].tolist() == [1, 4, 4]  # blown up to the least area


def test_files_and_bytes_are_the_pictures_in_them(tmp_path: Path) -> None:
    seeing.picture(3).save(tmp_path / "a.png")
    sources: list[Any] = [
        seeing.picture(3),
        tmp_path / "a.png",
        str(tmp_path / "a.png"),
        (tmp_path / "a.png").read_bytes(),
    ]
    read = read_prompts(seeing.processor(), [seeing.prompt(0)], [sources])
    assert read.pictures == [[0, 0, 0, 0]]


def test_loading_takes_areas_and_refuses_a_bare_tokenizer(tmp_path: Path) -> None:
    folder = save_small_vlm(seeing.model(), seeing.processor(), tmp_path / "model", half=False)
    model, processor = load_vlm_for_training(LanguageModelConfig(path=str(folder)), max_pixels=56 * 84)
    assert model.training
    assert processor.tokenizer.padding_side == "left"
    large, prompt = [seeing.picture(0, 112, 112)], [seeing.prompt(0)]
    assert len(read_prompts(processor, prompt, [large]).ids[0]) < len(
        read_prompts(load_processor(LanguageModelConfig(path=str(folder))), prompt, [large]).ids[0]
    )
    with pytest.raises(UsageError, match="min <= max"):
        bounded(processor, min_pixels=9000, max_pixels=4000)
    (folder / "processor_config.json").write_text('{"processor_class": "Patched"}', encoding="utf-8")
    assert AutoTokenizer.from_pretrained(folder) is not None
    with pytest.raises(UsageError, match="bare"):
        load_vlm_for_training(LanguageModelConfig(path=str(folder)))
    with pytest.raises(UsageError, match="no such model folder"):
        load_vlm_for_training(LanguageModelConfig(path=str(tmp_path / "nowhere")))
