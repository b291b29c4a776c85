"""Tensor pictures become what the stock processors make of them, and gradient comes back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers import Qwen2VLImageProcessor

from common.errors import UsageError
from common.models.qwen_tokenizer import small_tokenizer
from common.models.small_vlm import SmallVlmSettings, small_processor
from common.models.vlm_input import Preprocess
from common.models.vlm_prompt import fetch
from common.pictures import to_tensor

#: The published image processors of the three families (preprocessor_config.json of their 7B and 8B instruct models).
PUBLISHED = {
    "qwen2_vl": {"min_pixels": 3136, "max_pixels": 12845056, "patch_size": 14},
    "qwen2_5_vl": {"min_pixels": 3136, "max_pixels": 12845056, "patch_size": 14},
    "qwen3_vl": {
        "size": {"shortest_edge": 65536, "longest_edge": 16777216},
        "patch_size": 16,
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
    },
}
#: Height and width: as they are, scaled up, scaled down, oblong, thin, tiny, and of no multiple of anything.
SIZES = [(56, 56), (84, 112), (64, 96), (20, 30), (1, 1), (200, 317), (333, 77), (30, 400), (13, 2500)]


def stock(family: str, **changes: Any) -> Qwen2VLImageProcessor:
    return Qwen2VLImageProcessor(**{**PUBLISHED[family], **changes})


def small(family: Any) -> Any:
    return small_processor(small_tokenizer(["a"], 300), SmallVlmSettings(architecture=family)).image_processor


def noise(height: int, width: int, number: int = 1) -> torch.Tensor:
    """`(number, 3, H, W)` bytes."""
    generator = torch.Generator().manual_seed(height * 10_000 + width)
    return torch.randint(0, 256, (number, 3, height, width), generator=generator, dtype=torch.uint8)


def image_of(pixels: torch.Tensor) -> Image.Image:
    return Image.fromarray(pixels.permute(1, 2, 0).numpy())


def of_floats(processor: Any, pictures: torch.Tensor) -> Any:
    options = {"do_rescale": False, "input_data_format": "channels_first", "return_tensors": "pt"}
    return processor(images=list(pictures), **options)


def assert_equal(made: tuple[torch.Tensor, torch.Tensor], expected: Any) -> None:
    torch.testing.assert_close(made[0], expected["pixel_values"], atol=1e-5, rtol=0)
    assert made[1].tolist() == expected["image_grid_thw"].tolist()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("family", PUBLISHED)
def test_as_the_stock_processor_on_the_same_float_tensor(family: str, size: tuple[int, int]) -> None:
    pictures = noise(*size, number=2).float() / 255
    for processor in (stock(family), small(family), stock(family, min_pixels=4 * 32**2, max_pixels=16 * 32**2)):
        assert_equal(Preprocess.of(processor)(pictures), of_floats(processor, pictures))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("family", PUBLISHED)
def test_by_way_of_8_bits_as_the_stock_processor_on_the_picture(family: str, size: tuple[int, int]) -> None:
    pixels = noise(*size)
    images = [image_of(pixels[0])]
    for processor in (stock(family), small(family)):
        preprocess, expected = Preprocess.of(processor), processor(images=images, return_tensors="pt")
        assert_equal(replace(preprocess, eight_bits=True)(pixels.float() / 255), expected)
        assert_equal(preprocess.of_images(images), expected)


def test_without_resizing_both_ways_are_the_same() -> None:
    processor, pixels = stock("qwen2_5_vl"), noise(84, 112)
    expected = processor(images=[image_of(pixels[0])], return_tensors="pt")
    assert_equal(Preprocess.of(processor)(pixels.float() / 255), expected)


def test_with_resizing_the_float_way_is_near_on_smooth_pictures() -> None:
    across, down = torch.meshgrid(torch.linspace(0, 6, 200), torch.linspace(0, 4, 317), indexing="ij")
    smooth = (torch.stack([across.sin(), down.cos(), (across * down).sin()]) * 0.5 + 0.5).mul(255).byte()
    processor = stock("qwen2_5_vl")
    made, _ = Preprocess.of(processor)(smooth.unsqueeze(0).float() / 255)
    expected = processor(images=[image_of(smooth)], return_tensors="pt")["pixel_values"]
    # In steps of 1/255, after the division by the least deviation.
    assert ((made - expected).abs().max() * 255 * 0.2613).item() <= 1.5


@given(
    height=st.integers(1, 400),
    width=st.integers(1, 400),
    family=st.sampled_from(sorted(PUBLISHED)),
    least=st.integers(1, 6),
    more=st.integers(0, 30),
)
@settings(deadline=None, max_examples=60)
def test_any_size(height: int, width: int, family: str, least: int, more: int) -> None:
    if max(height, width) > 200 * min(height, width):
        return
    factor = 2 * PUBLISHED[family]["patch_size"]
    bounds = {"min_pixels": least * factor**2, "max_pixels": (least + more) * factor**2}
    processor = Qwen2VLImageProcessor(patch_size=factor // 2, **bounds)
    preprocess = Preprocess.of(processor)
    picture = noise(height, width).float() / 255
    pixels, grid = made = preprocess(picture)
    assert_equal(made, of_floats(processor, picture))
    assert preprocess.tokens(height, width) * 4 == len(pixels) == grid.prod()


def test_a_batch_and_views_are_as_single_pictures() -> None:
    preprocess = Preprocess.of(small("qwen2_5_vl"))
    pictures = noise(70, 50, number=6).float() / 255
    singles = torch.cat([preprocess(picture.unsqueeze(0))[0] for picture in pictures])
    for shape in ((6, 3, 70, 50), (2, 3, 3, 70, 50)):
        pixels, grid = preprocess(pictures.reshape(shape))
        torch.testing.assert_close(pixels, singles, atol=1e-6, rtol=0)
        assert grid.shape == (6, 3)
    none, grid = preprocess(torch.zeros(0, 3, 56, 56))
    assert none.shape == (0, singles.shape[1])
    assert grid.shape == (0, 3)


def test_patches_are_in_the_order_of_image_tokens() -> None:
    preprocess = Preprocess((0.0,) * 3, (1.0,) * 3, min_pixels=1, max_pixels=10**6, patch=2, merge=2)
    picture = torch.zeros(1, 3, 8, 8)
    picture[0, 0, 0:2, 4:6] = 0.25  # first patch of the second token
    picture[0, 2, 6:8, 0:2] = 0.5  # third patch of the third token, in blue
    pixels, grid = preprocess(picture)
    assert grid.tolist() == [[1, 4, 4]]
    cut = pixels.view(16, 3, 2, 2, 2)
    assert cut[4, 0].eq(0.25).all()
    assert cut[10, 2].eq(0.5).all()
    assert cut.count_nonzero() == 16


class TestGradient:
    @pytest.mark.parametrize("size", [(6, 5), (12, 8), (20, 13)])
    @pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
    def test_finite_differences(self, size: tuple[int, int], interpolation: str) -> None:
        preprocess = Preprocess((0.4, 0.5, 0.6), (0.2, 0.3, 0.25), 100, 200, patch=2, interpolation=interpolation)
        picture = noise(*size).double().div(255).requires_grad_()
        assert torch.autograd.gradcheck(lambda pictures: preprocess(pictures)[0], (picture,), atol=1e-6)

    def test_of_views(self) -> None:
        preprocess = Preprocess((0.5,) * 3, (0.5,) * 3, 16, 64, patch=2)
        views = noise(5, 9, number=2).double().div(255).unsqueeze(0).requires_grad_()
        assert torch.autograd.gradcheck(lambda pictures: preprocess(pictures)[0], (views,), atol=1e-6)

    def test_passes_through_8_bits_as_if_there_were_none(self) -> None:
        preprocess = Preprocess.of(small("qwen2_5_vl"))
        picture = noise(70, 50).float().div(255)
        gradients = []
        for way in (preprocess, replace(preprocess, eight_bits=True)):
            leaf = picture.clone().requires_grad_()
            pixels, _ = way(leaf)
            (pixels * torch.linspace(-1, 1, pixels.numel()).view_as(pixels)).sum().backward()
            gradients.append(leaf.grad)
        assert gradients[0].abs().max() > 0.1
        torch.testing.assert_close(*gradients)

    def test_rounding_gives_what_the_saved_picture_gives(self) -> None:
        preprocess = Preprocess.of(small("qwen2_5_vl"))
        rendered = torch.rand(1, 3, 70, 50, generator=torch.Generator().manual_seed(0), requires_grad=True)
        saved = image_of((rendered[0].detach() * 255).round().byte())
        torch.testing.assert_close(
            replace(preprocess, eight_bits=True)(rendered)[0].detach(),
            preprocess.of_images([saved])[0],
            atol=1e-5,
            rtol=0,
        )


class TestQwenVlUtils:
    @pytest.mark.parametrize("size", [*SIZES, (190, 1), (4000, 20)])
    @pytest.mark.parametrize("family", PUBLISHED)
    def test_is_within_two_steps_of_the_stock_processor(self, family: str, size: tuple[int, int]) -> None:
        processor, image = small(family), image_of(noise(*size)[0])
        preprocess = Preprocess.of(processor)
        pixels, grid = preprocess.of_images([fetch(image, preprocess)])
        expected = processor(images=[image], return_tensors="pt")
        assert grid.tolist() == expected["image_grid_thw"].tolist()
        steps = (pixels - expected["pixel_values"]).abs().max() * 255 * max(preprocess.deviation)
        assert steps.item() <= 2.5


class TestErrors:
    @pytest.mark.parametrize("size", [(1, 201), (4001, 20)])
    def test_too_thin(self, size: tuple[int, int]) -> None:
        with pytest.raises(UsageError, match="200 times as long"):
            Preprocess.of(stock("qwen2_vl"))(torch.zeros(1, 3, *size))

    @pytest.mark.parametrize(
        "wrong",
        [
            torch.zeros(3, 56, 56),
            torch.zeros(1, 1, 56, 56),
            torch.zeros(1, 3, 56, 56, dtype=torch.uint8),
            torch.full((1, 3, 56, 56), 255.0),
            torch.full((1, 3, 56, 56), -1.0),
            torch.zeros(1, 3, 0, 56),
        ],
    )
    def test_what_is_no_picture(self, wrong: torch.Tensor) -> None:
        with pytest.raises(UsageError, match="picture"):
            Preprocess.of(stock("qwen2_vl"))(wrong)

    def test_processors(self) -> None:
        from transformers import CLIPImageProcessor

        with pytest.raises(UsageError, match="no Qwen-VL image processor"):
            Preprocess.of(CLIPImageProcessor())
        with pytest.raises(UsageError, match="do_normalize switched off"):
            Preprocess.of(stock("qwen2_vl", do_normalize=False))
        with pytest.raises(UsageError, match="use bicubic or bilinear"):
            Preprocess.of(stock("qwen2_vl", resample=0))
        with pytest.raises(UsageError, match="min_pixels 4000 and max_pixels 1000"):
            Preprocess.of(stock("qwen2_vl"), 4000, 1000)

    def test_bounds_in_place_of_the_processors(self) -> None:
        processor = stock("qwen2_5_vl")
        preprocess = Preprocess.of(processor, max_pixels=100 * 28**2)
        assert Preprocess.of(processor).tokens(2000, 3000) == 71 * 107
        assert preprocess.tokens(2000, 3000) <= 100
        expected = processor(images=[image_of(noise(400, 600)[0])], max_pixels=100 * 28**2, return_tensors="pt")
        assert_equal(preprocess.of_images([image_of(noise(400, 600)[0])]), expected)


def test_a_picture_of_nan_stays_one_and_harms_no_other() -> None:
    preprocess = Preprocess.of(small("qwen2_5_vl"))
    pictures = noise(60, 60, number=2).float() / 255
    expected, _ = preprocess(pictures[1:])
    pictures[0, 1, 2, 3] = float("nan")
    for way in (preprocess, replace(preprocess, eight_bits=True)):
        pixels, _ = way(pictures)
        assert pixels[: len(pixels) // 2].isnan().any()
        assert not pixels[len(pixels) // 2 :].isnan().any()
    torch.testing.assert_close(preprocess(pictures)[0][len(expected) :], expected)


def test_half_precision_pictures_are_read_in_single() -> None:
    preprocess = Preprocess.of(small("qwen2_5_vl"))
    picture = to_tensor([Image.fromarray(np.full((40, 60, 3), 128, dtype=np.uint8))])
    for dtype in (torch.float16, torch.bfloat16):
        pixels, _ = preprocess(picture.to(dtype))
        assert pixels.dtype == torch.float32
        torch.testing.assert_close(pixels, preprocess(picture)[0], atol=0.02, rtol=0)
