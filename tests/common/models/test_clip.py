"""CLIP by name or folder: OpenCLIP's numbers, whole texts or counted cuts, and nothing said by a special token."""

from __future__ import annotations

import json
import logging
import math
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from common.errors import DataError, UsageError
from common.models.clip import Clip, compact_tokenizer, save_clip
from common.models.clip_input import Preprocess, Tokens
from tests.common.models.tiny_clip import TEXTS, tiny_clip_folder, tiny_config

pytest.importorskip("open_clip")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_clip_folder(tmp_path_factory.mktemp("clip") / "tiny")


@pytest.fixture(scope="module")
def clip(folder: Path) -> Clip:
    return Clip(f"local-dir:{folder}", batch_size=3)


def noise(height: int, width: int, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def as_tensor(picture: Image.Image) -> Tensor:
    return torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1)[None].float() / 255


class TestFolder:
    def test_openclip_opens_it_alike(self, folder: Path, clip: Clip) -> None:
        import open_clip

        # Frozen: torch takes another path through attention, 1e-6 away, where weights may get a gradient.
        theirs = open_clip.create_model(f"local-dir:{folder}").eval().requires_grad_(False)
        tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
        texts = [*TEXTS, "", "a <end_of_text> b", "word " * 60]
        with torch.no_grad():
            expected = theirs.encode_text(tokenizer(texts), normalize=True)
            prepared = clip.prepare(torch.rand(2, 3, 50, 70))
            assert torch.equal(clip.encode_prepared(prepared), theirs.encode_image(prepared, normalize=True))
        torch.testing.assert_close(clip.text(texts), expected, atol=1e-6, rtol=0)
        assert clip.logit_scale == pytest.approx(theirs.logit_scale.exp().item())

    def test_half_weights_open_alike(self, tmp_path: Path) -> None:
        import open_clip

        tokenizer = compact_tokenizer(TEXTS, 300)
        config = tiny_config(len(tokenizer))
        model = open_clip.CLIP(**config)
        save_clip(model, tokenizer, config, tmp_path, {"resize_mode": "squash"}, torch.float16)
        ours, theirs = Clip(tmp_path), open_clip.create_model(f"local-dir:{tmp_path}").eval()
        x = torch.rand(1, 3, 64, 64)
        with torch.no_grad():
            assert torch.equal(ours.encode_prepared(x), theirs.encode_image(x, normalize=True))
        assert (tmp_path / "open_clip_model.safetensors").stat().st_size < 2.2 * sum(
            weight.numel() for weight in model.parameters()
        )

    def test_tokenizer_and_config_must_fit(self, tmp_path: Path) -> None:
        import open_clip

        tokenizer = compact_tokenizer(TEXTS, 300)
        config = tiny_config(len(tokenizer))
        model = open_clip.CLIP(**config)
        with pytest.raises(UsageError, match="vocab_size is 9"):
            save_clip(model, tokenizer, tiny_config(9), tmp_path)
        tokenizer.add_tokens(["later"])
        with pytest.raises(UsageError, match="greatest id"):
            save_clip(model, tokenizer, tiny_config(len(tokenizer)), tmp_path)
        with pytest.raises(UsageError, match="too small"):
            compact_tokenizer(TEXTS, 258)

    def test_a_folder_in_the_checkout_is_found(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(
            "common.models.clip.locate", lambda path: folder if str(path) == "assets/x" else Path(path)
        )
        assert Clip("assets/x").dim == Clip("local-dir:assets/x").dim == 32


class TestErrors:
    def test_nothing_is_opened_before_it_is_used(self) -> None:
        assert Clip("no-such-model", "no-such-weights").name == "no-such-model:no-such-weights"
        assert Clip("ViT-L-14:openai").name == "ViT-L-14:openai"

    @pytest.mark.parametrize(
        ("arguments", "named"),
        [
            (("ViT-L-41", "openai"), "ViT-L-14"),
            (("ViT-B/32", "open-ai"), "laion2b"),
            (("ViT-B-32",), "laion2b"),
            (("local-dir:no/such/folder",), "open_clip_config.json"),
        ],
    )
    def test_what_is_known_is_named(self, arguments: tuple[str, ...], named: str) -> None:
        with pytest.raises(UsageError, match=named):
            _ = Clip(*arguments).dim

    @pytest.mark.parametrize(
        ("name", "quick"),
        [("ViT-L-14:openai", True), ("ViT-B/32:laion400m_e32", True), ("ViT-B-32:laion2b_s34b_b79k", False)],
    )
    def test_weights_get_the_activation_they_were_trained_with(
        self, name: str, quick: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import open_clip

        asked: dict[str, Any] = {}

        def create_model(*arguments: Any, **options: Any) -> None:
            asked.update(options)
            raise OSError("no network")

        monkeypatch.setattr(open_clip, "create_model", create_model)
        with pytest.raises(UsageError, match=r"no network.*local-dir:"):
            _ = Clip(name).dim
        assert asked["force_quick_gelu"] is quick
        assert asked["require_pretrained"] is True

    def test_missing_or_misfitting_weights(self, folder: Path, tmp_path: Path) -> None:
        copy = shutil.copytree(folder, tmp_path / "copy")
        weights = copy / "open_clip_model.safetensors"
        weights.write_bytes(weights.read_bytes()[:1000])
        with pytest.raises(DataError, match=r"open_clip_model\.safetensors: damaged"):
            _ = Clip(copy).dim
        weights.unlink()
        with pytest.raises(UsageError, match="weights"):
            _ = Clip(copy).dim
        (copy / "open_clip_config.json").write_text("{")
        with pytest.raises(DataError, match="not JSON"):
            _ = Clip(copy).dim

    def test_a_folder_without_its_tokenizer_is_not_given_anothers(self, folder: Path, tmp_path: Path) -> None:
        copy = shutil.copytree(folder, tmp_path / "copy")
        config = json.loads((copy / "open_clip_config.json").read_text())
        del config["model_cfg"]["text_cfg"]["hf_tokenizer_name"], config["model_cfg"]["text_cfg"]["tokenizer_kwargs"]
        (copy / "open_clip_config.json").write_text(json.dumps(config))
        with pytest.raises(UsageError, match="hf_tokenizer_name"):
            _ = Clip(copy).dim

    def test_wrong_input_is_named(self, clip: Clip) -> None:
        for texts in (["a", None], [3], "a lone text"):
            with pytest.raises(UsageError, match=r"text|list"):
                clip.text(texts)  # type: ignore[arg-type]
        for pictures in (
            torch.rand(3, 8, 8),
            torch.zeros(1, 3, 8, 8, dtype=torch.uint8),
            255 * torch.rand(1, 3, 8, 8),
        ):
            with pytest.raises(UsageError, match=r"\[0, 1\]"):
                clip.image(pictures)


class TestVectors:
    def test_units_of_float32_whatever_the_batch(self, clip: Clip) -> None:
        # The order of MKL's sums depends on the batch and on the machine.
        drawn = torch.rand(7, 3, 64, 64, generator=torch.Generator().manual_seed(0))
        pictures, texts = drawn, [f"{count} {text}" for count in range(2) for text in TEXTS]
        for encode, rows in ((clip.image, pictures), (clip.text, texts)):
            together = encode(rows)  # type: ignore[operator]
            assert together.dtype == torch.float32
            assert not together.requires_grad
            torch.testing.assert_close(together.norm(dim=1), torch.ones(len(rows)))
            alone = torch.cat([encode(rows[row : row + 1]) for row in range(len(rows))])  # type: ignore[operator]
            torch.testing.assert_close(together, alone, atol=2e-5, rtol=0)

    def test_nothing_gives_no_rows(self, clip: Clip) -> None:
        for empty in (clip.text([]), clip.image([]), clip.image(torch.zeros(0, 3, 64, 64))):
            assert empty.shape == (0, 32)
        assert torch.cat([clip.text([]), clip.text(["a"])]).shape == (1, 32)

    def test_zeros_stay_zeros_and_nan_stays_in_its_row(self, folder: Path) -> None:
        clip = Clip(folder)
        bad = torch.rand(3, 3, 64, 64)
        bad[1, 0, 0, 0] = math.nan
        assert clip.image(bad).isnan().any(1).tolist() == [False, True, False]
        with torch.no_grad():
            clip.model.text_projection.zero_()  # type: ignore[operator, union-attr]
        assert torch.equal(clip.text(["a"]), torch.zeros(1, 32))

    def test_low_precision_still_gives_float32(self, folder: Path, clip: Clip) -> None:
        low = Clip(folder, precision="bf16")
        x = torch.rand(2, 3, 64, 64)
        assert low.image(x).dtype == low.text(TEXTS).dtype == torch.float32
        assert torch.nn.functional.cosine_similarity(low.text(TEXTS), clip.text(TEXTS)).min() > 0.99
        assert low.fingerprint != clip.fingerprint

    def test_pickling_leaves_the_weights_out(self, clip: Clip) -> None:
        data = pickle.dumps(clip)
        assert len(data) < 2000
        assert torch.equal(pickle.loads(data).text(TEXTS[:1]), clip.text(TEXTS[:1]))

    def test_the_fingerprint_covers_weights_preprocess_and_background(self, folder: Path, tmp_path: Path) -> None:
        prints = [
            Clip(folder).fingerprint,
            Clip(folder, background=(0, 0, 0)).fingerprint,
            Clip(tiny_clip_folder(tmp_path / "seed", seed=1)).fingerprint,
            Clip(tiny_clip_folder(tmp_path / "mode", preprocess={"resize_mode": "squash"})).fingerprint,
            Clip(tiny_clip_folder(tmp_path / "words", texts=[*TEXTS, "an owl"])).fingerprint,
        ]
        assert len(set(prints)) == 5
        moved = Clip(shutil.copytree(folder, tmp_path / "moved"), batch_size=2)
        # A tokenizer remembers how it last cut and padded; that is not part of the model.
        moved.text(["a short text", "word " * 60])
        assert moved.fingerprint == prints[0]


class TestTexts:
    def test_a_long_text_scores_as_its_beginning_and_is_counted(
        self, folder: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        clip = Clip(folder)
        # One token a word, 32 in all with start and end.
        word = "circle"
        fits = " ".join([word] * 30)
        with caplog.at_level(logging.WARNING, "common.models.clip"):
            assert clip.text([fits]).isfinite().all()
            assert clip.truncated == 0
            long = clip.text([f"{fits} {word}", f"{fits} and something else"])
            clip.text([fits * 3])
        torch.testing.assert_close(long, clip.text([fits, fits]))
        assert clip.truncated == 3
        assert len([record for record in caplog.records if "longer than" in record.message]) == 1

    @pytest.mark.parametrize("special", ["<end_of_text>", "<start_of_text>", "<pad>", "&lt;end_of_text&gt;"])
    def test_special_tokens_are_plain_text(self, clip: Clip, special: str) -> None:
        begun, whole = clip.text(["a red circle", f"a red circle {special} three blue stars"])
        assert begun @ whole < 0.999
        ids, _ = clip._open().tokens([f"{special}{special}"])
        assert (ids == ids.max()).sum() == 1
        assert (ids == ids[0, 0]).sum() == 1

    def test_any_string_is_a_text(self, clip: Clip) -> None:
        vectors = clip.text(["", " \n", "\x00", "\ud83d", "東京 🗼", "🗼" * 500])
        assert vectors.isfinite().all()


class TestOpenAiTokens:
    """The tokenizer of OpenAI's and LAION's models."""

    @pytest.fixture(scope="class")
    def theirs(self) -> Any:
        import open_clip

        return open_clip.SimpleTokenizer()

    def test_the_same_ids(self, theirs: Any) -> None:
        texts = ["", "A photo depicts two dogs.", "Caf&eacute; n°5 – 東京", "x " * 70, "word " * 90, "it's"]
        ids, cut = Tokens(theirs, 77)(texts)
        assert torch.equal(ids, theirs(texts))
        assert cut == 1
        assert ids[4, -1] == theirs.eot_token_id

    @pytest.mark.parametrize("special", ["<end_of_text>", "<START_OF_TEXT>", "&lt;end_of_text&gt;"])
    def test_special_tokens_are_plain_text(self, theirs: Any, special: str) -> None:
        ids = Tokens(theirs, 77)([f"a dog {special} and a cat"])[0][0]
        assert (ids >= theirs.sot_token_id).sum() == 2
        assert theirs.decode(ids[1 : ids.argmax()].tolist()).replace(" ", "").startswith("adog<")
        assert (theirs([f"a dog {special} and a cat"]) >= theirs.sot_token_id).sum() == 3

    def test_a_vocabulary_that_holds_its_special_tokens_as_words(self, tmp_path: Path) -> None:
        import open_clip
        from tokenizers import Tokenizer, models, processors
        from transformers import PreTrainedTokenizerFast

        pieces = [("<pad>", 0.0), ("<unk>", -9.0), *[(char, -5.0) for char in "abc </s>"], ("</s>", 0.0)]
        raw = Tokenizer(models.Unigram(list(dict.fromkeys(pieces)), 1))
        end = raw.token_to_id("</s>")
        raw.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", end)])
        names = {"pad_token": "<pad>", "unk_token": "<unk>", "eos_token": "</s>"}
        PreTrainedTokenizerFast(tokenizer_object=raw, **names).save_pretrained(tmp_path)
        tokens = Tokens(open_clip.tokenizer.HFTokenizer(str(tmp_path), context_length=12), 12)
        ids, cut = tokens(["a</s>b", "abc" * 9])
        assert (ids == end).sum(1).tolist() == [1, 1]
        assert cut == 1


SIZES = [(64, 64), (100, 160), (33, 47), (1, 1), (1, 1000), (1000, 1), (65, 63), (480, 640)]


class TestPreprocess:
    @pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
    @pytest.mark.parametrize(("size", "interpolation"), [(64, "bicubic"), (64, "bilinear"), ((48, 80), "bicubic")])
    def test_it_is_openclips_transform_but_for_rounding(self, mode: str, size: Any, interpolation: str) -> None:
        from open_clip.transform import PreprocessCfg, image_transform_v2

        config = {"size": size, "interpolation": interpolation, "resize_mode": mode, "fill_color": 100}
        config |= {"mean": (0.1, 0.2, 0.3), "std": (0.5, 0.25, 1.0)}
        theirs, ours = image_transform_v2(PreprocessCfg(**config), is_train=False), Preprocess.from_config(config)
        for height, width in SIZES:
            picture = noise(height, width)
            if mode == "longest" and min(height, width) == 1 and max(height, width) == 1000:
                assert ours(as_tensor(picture)).isfinite().all()  # OpenCLIP itself fails.
                continue
            difference = (ours(as_tensor(picture))[0] - theirs(picture)).abs() * torch.tensor([0.5, 0.25, 1.0])[
                :, None, None
            ]
            assert difference.max() <= 1.2 / 255
            assert difference.mean() <= 0.35 / 255

    def test_features_are_openclips(self, folder: Path, clip: Clip) -> None:
        import open_clip

        model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder}")
        picture = noise(120, 90)
        with torch.no_grad():
            expected = model.eval().encode_image(transform(picture)[None], normalize=True)
        assert 1 - (clip.image([picture]) @ expected.T).item() < 1e-5
        assert torch.equal(clip.image([picture]), clip.image(as_tensor(picture)))

    def test_gradient(self, clip: Clip) -> None:
        x = torch.rand(2, 3, 20, 30, dtype=torch.float64).requires_grad_()
        preprocess = Preprocess((6, 6), (0.5,) * 3, (0.5,) * 3)  # type: ignore[arg-type]

        def inside(pictures: Tensor) -> Tensor:
            return preprocess(0.4 + 0.2 * pictures).double()

        torch.autograd.gradcheck(inside, x[:1, :, :9, :12].detach().requires_grad_(), eps=1e-2, atol=1e-3)
        clip.image(x.float())[0, 0].backward()
        assert x.grad is not None
        assert x.grad[0].abs().sum() > 0
        assert x.grad[1].abs().sum() == 0

    def test_white_areas_pass_gradient(self, clip: Clip) -> None:
        white = torch.ones(1, 3, 96, 96, requires_grad=True)
        clip.image(white)[0, 0].backward()
        assert white.grad is not None
        assert (white.grad.abs().sum(1) > 0).float().mean() > 0.9

    def test_pillow_pictures_of_any_kind(self, clip: Clip) -> None:
        picture = noise(40, 40)
        deep = np.asarray(picture.convert("L")).astype(np.uint16) * 257
        vectors = clip.image([picture, picture.convert("RGBA"), picture.convert("L"), Image.fromarray(deep)])
        torch.testing.assert_close(vectors[0], vectors[1])
        torch.testing.assert_close(vectors[2], vectors[3])

    def test_unknown_modes_are_refused(self) -> None:
        base = {"size": 8, "mean": 0.5, "std": 0.5}
        for wrong in ({"resize_mode": "fit"}, {"interpolation": "nearest"}):
            with pytest.raises(UsageError, match="OpenCLIP knows"):
                Preprocess.from_config(base | wrong)
