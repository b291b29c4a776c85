"""`pretrain` with a few steps: every part writes its folder and card, and the folders load."""

from __future__ import annotations

import json
from functools import partial

import pytest
import torch

from apps.captioning import pretrain
from apps.captioning.config import CaptioningConfig
from apps.captioning.model import load_captioner, load_decoder
from apps.captioning.pretrain import PARTS, run_pretrain
from common.errors import UsageError
from common.rewards.trained.discriminator import Discriminator


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """All parts, made once in the order of the command."""
    from apps.captioning.pretraining import clip, clip_figures, tokenizer

    folder = tmp_path_factory.mktemp("pretrain")
    config = CaptioningConfig(runs=str(folder / "runs"))
    config.clip.batch_size = 32
    settings = config.pretrain
    settings.vocabulary, settings.clip_steps = 400, 2
    settings.decoder_width, settings.decoder_layers, settings.decoder_steps = 32, 1, 2
    settings.discriminator_width, settings.discriminator_steps = 32, 2
    settings.captioner_sentences, settings.captioner_steps = 30, 3
    config.captioner.align = True
    config.train.limit, config.validation.limit, config.heldout.limit, config.corpus.limit = 8, 4, 6, 20
    config.init.steps, config.rl.steps, config.rl.pictures_per_step, config.rl.samples = 2, 2, 2, 2
    config.captioner.max_new_tokens = 12
    small = partial(clip.ClipTraining, width=4, embedding=32, text_width=32, text_layers=1, pictures=40, batch_size=8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clip, "ClipTraining", small)
        patch.setattr(clip_figures, "PICTURES", 12)
        patch.setattr(tokenizer, "train_tokenizer", partial(tokenizer.train_tokenizer, number=200))
        patch.setattr(clip, "sentences", partial(tokenizer.sentences, 200))
        assert run_pretrain(config, str(folder / "assets")) == 0
    return folder / "assets"


@pytest.mark.parametrize("part", PARTS)
def test_every_part_has_its_figures_and_its_card(made, part):
    figures = json.loads((made / part / "figures.json").read_text("utf-8"))
    card = (made / part / "README.md").read_text("utf-8")
    assert figures
    assert card.startswith(f"# {part}\n")
    assert "seed 0" in card
    assert "no benchmark results" in card
    assert list((made / part).rglob("*.safetensors"))
    # Nothing that executes when it is read.
    assert not [path for path in (made / part).rglob("*") if path.suffix in {".pt", ".bin", ".pkl"}]


@pytest.mark.parametrize("part", ["clip", "clip-held-out"])
def test_the_clips_load(made, part):
    from apps.captioning.data import load_examples
    from apps.captioning.data_config import PicturesConfig
    from common.models.clip import Clip

    clip = Clip(f"local-dir:{made / part}")
    assert clip.text(["A red star."]).shape == (1, 32)
    assert clip.image([load_examples(PicturesConfig(limit=1))[0].picture()]).shape == (1, 32)


def test_the_two_clips_are_two(made):
    from common.models.clip import Clip

    one, other = (Clip(f"local-dir:{made / part}").text(["A red star."]) for part in ("clip", "clip-held-out"))
    assert not torch.allclose(one, other, atol=0.05)


def test_the_decoder_loads(made):
    decoder, tokenizer = load_decoder(str(made / "decoder"))
    assert {value.dtype for value in decoder.parameters()} == {torch.float32}
    assert tokenizer.eos_token_id == len(tokenizer) - 1
    text = "A red star, grün 🙂."
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_the_discriminator_loads_as_a_reward(made):
    values = Discriminator(made / "discriminator")(completion=["A red star.", "star star red"]).values
    assert values.isfinite().all()


@pytest.mark.parametrize("name", ["captioner", "captioner-init"])
def test_the_captioners_load_and_speak(made, name):
    captioner = load_captioner(made / name)
    assert captioner.shape.features == 32
    assert len(captioner.generate(torch.nn.functional.normalize(torch.randn(2, 32)), 8).texts) == 2


def test_the_runs_of_the_captioners_are_kept_under_names_that_nothing_goes_on_with(made):
    runs = made.parent / "runs"
    for part in ("captioner-init", "captioner"):
        (kept,) = runs.glob(f"pretrain-{part}-seed0-*")
        assert (kept / "report.html").is_file()
        assert not (runs / f"pretrain-{part}-seed0").exists()
        initial = part == "captioner-init"
        log = [json.loads(line)["stage"] for line in (kept / "log.jsonl").read_text("utf-8").splitlines()]
        assert log == (["init"] * 3 if initial else ["rl"] * 2)
    # What has seen no picture knows nothing of where pictures lie.
    unit = torch.eye(32)
    assert torch.equal(load_captioner(made / "captioner-init").turn, unit)
    assert not torch.equal(load_captioner(made / "captioner").turn, unit)


def test_a_part_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UsageError, match="there is no 'clap'; choose from clip"):
        run_pretrain(CaptioningConfig(), str(tmp_path), only="clap")
    with pytest.raises(UsageError, match="the captioner needs clip; make it first"):
        pretrain.make_captioner(CaptioningConfig(), tmp_path, "captioner")
