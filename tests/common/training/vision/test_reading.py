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
from common.models.vlm_batch import tensors
from common.models.vlm_folder import load_processor
from common.models.vlm_input import Preprocess
from common.models.vlm_prompt import Encoded, PromptReader, VisualPrompt, place
from common.training.vision.models import bounded, load_vlm_for_training
from tests.common.training.vision import seeing

SIZES = [(56, 56), (84, 56), (150, 100), (90, 40), (20, 30), (112, 84)]


def read(processor: Any, prompts: list[Any], images: list[Any]) -> list[Encoded]:
    asked = [VisualPrompt(*row) for row in zip(prompts, images, strict=True)]
    return PromptReader(processor).encode(asked)


@pytest.mark.parametrize("family", seeing.FAMILIES)
def test_tokens_and_patches_are_the_processors_own(family: str) -> None:
    processor = seeing.processor(family)
    prompts = [seeing.prompt(number) for number in range(6)]
    # As they are, scaled down, blown up.
    images = [[one.resize(size) for one in seeing.pictures(number)] for number, size in enumerate(SIZES)]
    theirs = seeing.encoded(processor, prompts, images)
    ours = read(processor, prompts, images)
    for row, padded, mask in zip(ours, theirs["input_ids"], theirs["attention_mask"], strict=True):
        assert row.ids == padded[mask.bool()].tolist()
    found = tensors([patches for row in ours for patches in row.patches])
    assert torch.equal(found["pixel_values"], theirs["pixel_values"])
    assert torch.equal(found["image_grid_thw"], theirs["image_grid_thw"])


def test_a_picture_is_processed_once_wherever_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    processor, one, two = seeing.processor(), seeing.picture(1), seeing.picture(2)
    processed: list[int] = []
    own = Preprocess.of_images

    def counted(self: Preprocess, images: Any) -> Any:
        processed.append(len(images))
        return own(self, images)

    monkeypatch.setattr(Preprocess, "of_images", counted)
    first, second, third = read(processor, [seeing.prompt(0)] * 3, [[one, two], [two.copy()], [one, one]])
    assert sum(processed) == 2
    assert second.patches[0] is first.patches[1]
    assert [patches is first.patches[0] for patches in third.patches] == [True, True]


def test_no_pictures_at_all() -> None:
    (row,) = read(seeing.processor(), [seeing.prompt(1)], [[]])
    assert tensors(row.patches) == {}
    assert read(seeing.processor(), [], []) == []


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


def test_pictures_that_cannot_be_read_are_explained(tmp_path: Path) -> None:
    processor, prompt = seeing.processor(), seeing.prompt(0)
    with pytest.raises(UsageError, match="200 times"):
        read(processor, [prompt], [[Image.new("L", (2100, 10))]])
    with pytest.raises(DataError, match=r"gone\.png"):
        read(processor, [prompt], [[tmp_path / "gone.png"]])


def test_grey_of_16_bits_is_windowed_not_cut_off() -> None:
    """transformers cuts it off at 255: what is brighter, all of a usual film, would be one white."""
    deep = Image.new("I;16", (56, 56), 2000)
    deep.paste(4000, (0, 0, 28, 56))
    (row,) = read(seeing.processor(), [seeing.prompt(0)], [[deep]])
    assert row.patches[0].pixels.max() - row.patches[0].pixels.min() > 3


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F"])
def test_pictures_of_every_mode_and_size(mode: str) -> None:
    processor, shown = seeing.processor(), Image.new(mode, (90, 40))
    (row,) = read(processor, [seeing.prompt(0)], [[shown, Image.new("RGB", (1, 1))]])
    assert all(torch.isfinite(patches.pixels).all() for patches in row.patches)
    assert row.patches[1].grid == (1, 4, 4)  # blown up to the least area


def test_files_and_bytes_are_the_pictures_in_them(tmp_path: Path) -> None:
    seeing.picture(3).save(tmp_path / "a.png")
    sources: list[Any] = [
        seeing.picture(3),
        tmp_path / "a.png",
        str(tmp_path / "a.png"),
        (tmp_path / "a.png").read_bytes(),
    ]
    (row,) = read(seeing.processor(), [seeing.prompt(0)], [sources])
    assert [patches is row.patches[0] for patches in row.patches] == [True] * 4


def test_loading_takes_areas_and_refuses_a_bare_tokenizer(tmp_path: Path) -> None:
    folder = save_small_vlm(seeing.model(), seeing.processor(), tmp_path / "model", half=False)
    model, processor = load_vlm_for_training(LanguageModelConfig(path=str(folder)), max_pixels=56 * 84)
    assert model.training
    assert processor.tokenizer.padding_side == "left"
    large, prompt = [seeing.picture(0, 112, 112)], [seeing.prompt(0)]
    own = load_processor(LanguageModelConfig(path=str(folder)))
    assert len(read(processor, prompt, [large])[0]) < len(read(own, prompt, [large])[0])
    with pytest.raises(UsageError, match="min <= max"):
        bounded(processor, min_pixels=9000, max_pixels=4000)
    (folder / "processor_config.json").write_text('{"processor_class": "Patched"}', encoding="utf-8")
    assert AutoTokenizer.from_pretrained(folder) is not None
    with pytest.raises(UsageError, match="bare"):
        load_vlm_for_training(LanguageModelConfig(path=str(folder)))
    with pytest.raises(UsageError, match="no such model folder"):
        load_vlm_for_training(LanguageModelConfig(path=str(tmp_path / "nowhere")))
