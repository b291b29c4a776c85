"""Features are computed once for the same content, and never taken from other content."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from common.errors import DataError, UsageError
from common.models.clip import Clip
from common.models.feature_cache import FeatureCache
from tests.common.models.tiny_clip import TEXTS, tiny_clip_folder

pytest.importorskip("open_clip")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_clip_folder(tmp_path_factory.mktemp("clip") / "tiny", image_size=32)


@pytest.fixture
def clip(folder: Path) -> Clip:
    return Clip(folder, batch_size=3)


@pytest.fixture
def cache(tmp_path: Path) -> FeatureCache:
    return FeatureCache(tmp_path / "cache")


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """Eight pictures of different sizes."""
    paths = []
    for at in range(8):
        pixels = np.random.default_rng(at).integers(0, 256, (20 + at, 30, 3), dtype=np.uint8)
        paths.append(tmp_path / f"{at}.png")
        Image.fromarray(pixels).save(paths[-1])
    return paths


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each call of the model encoded."""
    counts: list[int] = []

    def counting(real: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        def call(self: Clip, rows: torch.Tensor) -> torch.Tensor:
            counts.append(len(rows))
            return real(self, rows)

        return call

    for name in ("encode_prepared", "text"):
        monkeypatch.setattr(Clip, name, counting(getattr(Clip, name)))
    return counts


def test_the_second_call_computes_nothing(
    clip: Clip, cache: FeatureCache, pictures: list[Path], encoded: list[int]
) -> None:
    progress: list[tuple[int, int]] = []
    first = cache.images(clip, pictures, lambda *at: progress.append(at))
    assert progress == [(3, 8), (6, 8), (8, 8)]
    assert encoded == [3, 3, 2]
    assert isinstance(first.values, np.memmap)
    assert first.values.shape == (8, clip.dim)
    assert first.kept == list(range(8))
    images = [Image.open(path) for path in pictures]
    np.testing.assert_allclose(first.values, clip.image(images).numpy(), atol=1e-6)
    encoded.clear()
    again = FeatureCache(cache.folder).images(Clip(clip.model_name), pictures)
    assert np.array_equal(again.values, first.values)
    moved = [shutil.move(path, path.with_stem(f"new{path.stem}")) for path in pictures]
    assert np.array_equal(cache.images(clip, moved).values, first.values)
    assert encoded == []
    with pytest.raises(ValueError, match="read-only"):
        first.values[0, 0] = 1


def test_one_pixel_or_another_order_is_another_key_but_known_rows_are_copied(
    clip: Clip, cache: FeatureCache, pictures: list[Path], encoded: list[int]
) -> None:
    first = cache.images(clip, pictures)
    encoded.clear()
    image = Image.open(pictures[4]).convert("RGB")
    image.putpixel((0, 0), (1, 2, 3))
    image.save(pictures[4])
    second = cache.images(clip, pictures)
    assert encoded == [1]
    assert not np.array_equal(first.values[4], second.values[4])
    assert np.array_equal(np.delete(first.values, 4, 0), np.delete(second.values, 4, 0))
    turned = cache.images(clip, pictures[::-1])
    assert encoded == [1]
    assert np.array_equal(turned.values, second.values[::-1])


def test_another_model_preprocess_or_background_is_another_key(
    folder: Path, tmp_path: Path, clip: Clip, cache: FeatureCache, pictures: list[Path], encoded: list[int]
) -> None:
    others = [
        clip,
        Clip(tiny_clip_folder(tmp_path / "seed", seed=1, image_size=32)),
        Clip(tiny_clip_folder(tmp_path / "mode", image_size=32, preprocess={"resize_mode": "squash"})),
        Clip(folder, background=(0, 0, 0)),
        Clip(folder, precision="bf16"),
    ]
    for other in others:
        cache.images(other, pictures[:1])
    assert encoded == [1] * 5


def test_an_interrupted_computation_goes_on(
    folder: Path, clip: Clip, cache: FeatureCache, pictures: list[Path], encoded: list[int], tmp_path: Path
) -> None:
    (tmp_path / "1.png").write_bytes(b"")
    whole = FeatureCache(tmp_path / "other").images(clip, pictures)
    encoded.clear()

    def stop(done: int, total: int) -> None:
        if done == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.images(clip, pictures, stop)
    assert encoded == [2, 3]
    resumed = cache.images(Clip(folder, batch_size=3), pictures)
    assert encoded == [2, 3, 2]
    assert np.array_equal(resumed.values, whole.values)
    assert resumed.kept == whole.kept == [0, 2, 3, 4, 5, 6, 7]


def test_damaged_files_are_computed_again(clip: Clip, cache: FeatureCache, pictures: list[Path]) -> None:
    first = np.array(cache.images(clip, pictures).values)
    (data,) = cache.folder.rglob("*.f32")
    data.write_bytes(data.read_bytes()[:-4])
    assert np.array_equal(cache.images(clip, pictures).values, first)
    (state,) = cache.folder.rglob("*.json")
    state.write_text("{")
    assert np.array_equal(cache.images(clip, pictures).values, first)


def test_bad_pictures_are_listed_and_shift_nothing(
    clip: Clip, cache: FeatureCache, pictures: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "text.png").write_text("no picture")
    sources = [pictures[0], tmp_path / "text.png", pictures[1], tmp_path / "absent.png", pictures[2]]
    for _ in range(2):
        features = cache.images(clip, sources)
        assert features.kept == [0, 2, 4]
        assert [Path(name).name for name, _ in features.bad] == ["text.png", "absent.png"]
        assert "no such file" in features.bad[1][1]
        np.testing.assert_allclose(features.values, cache.images(clip, pictures[:3]).values, atol=1e-6)
    for _ in range(2):
        with pytest.raises(DataError, match=r"more than 1 picture.*text\.png"):
            cache.images(clip, sources, limit=1)
    # A file that appears is no longer bad.
    shutil.copy(pictures[3], tmp_path / "absent.png")
    assert cache.images(clip, sources, limit=1).kept == [0, 2, 3, 4]


def test_nothing_readable_gives_no_rows(clip: Clip, cache: FeatureCache) -> None:
    for sources in ([], [b"", b"text"]):
        features = cache.images(clip, sources)
        assert features.values.shape == (0, clip.dim)
        assert len(features.bad) == len(sources)


def test_pictures_in_memory(clip: Clip, cache: FeatureCache, pictures: list[Path], encoded: list[int]) -> None:
    image = Image.open(pictures[0])
    palette = Image.fromarray(np.zeros((4, 4), np.uint8)).convert("P")
    other = palette.copy()
    other.putpalette([200, 0, 0] * 256)
    features = cache.images(clip, [image, pictures[0].read_bytes(), palette, other])
    assert np.allclose(features.values[0], features.values[1], atol=1e-6)
    assert not np.allclose(features.values[2], features.values[3])
    cache.images(clip, [image, pictures[0].read_bytes(), palette, other])
    assert encoded == [3, 1]


def test_texts(clip: Clip, cache: FeatureCache, encoded: list[int]) -> None:
    corpus = [*TEXTS, "a lone \ud83d surrogate", ""]
    values = cache.texts(clip, corpus)
    assert values.shape == (6, clip.dim)
    np.testing.assert_allclose(values, clip.text(corpus).numpy(), atol=1e-6)
    encoded.clear()
    assert np.array_equal(cache.texts(clip, corpus), values)
    assert encoded == []
    changed = cache.texts(clip, [*corpus[:-1], "x"])
    assert encoded
    assert not np.array_equal(changed, values)
    # Where one text ends and the next begins counts.
    assert not np.array_equal(cache.texts(clip, ["ab", "c"]), cache.texts(clip, ["a", "bc"]))
    with pytest.raises(UsageError, match="NoneType"):
        cache.texts(clip, ["a", None])  # type: ignore[list-item]
