"""`pretrain` with a few steps: a model that loads as any Qwen-VL, a card, and a way on after a stop."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from apps.medvqa import pretrain
from apps.medvqa.config import MedVqaConfig
from apps.medvqa.data_config import DataConfig
from apps.medvqa.pretrain import SAY, SEE, run_pretrain
from common.config import LanguageModelConfig
from common.errors import UsageError
from common.models.vlm import VisionLanguageModel, ask
from common.training.run import Interrupted
from tests.apps.medvqa.pretraining.conftest import SMALL


def config_in(folder, **changes):
    return MedVqaConfig(
        pretrain=replace(SMALL, sampled=2, save_every=2, **changes),
        heldout=DataConfig(split="heldout", limit=6),
        runs=str(folder / "runs" / "medvqa"),
    )


def weights_of(folder):
    from safetensors.torch import load_file

    return load_file(folder / "model" / "model.safetensors")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pretrain")
    assert run_pretrain(config_in(folder), str(folder / "assets")) == 0
    return folder


def test_the_model_loads_and_answers(made):
    model = VisionLanguageModel(LanguageModelConfig(path=str(made / "assets" / "model")))
    assert type(model.model).__name__ == "Qwen2_5_VLForConditionalGeneration"
    assert {value.dtype for value in weights_of(made / "assets").values()} == {torch.float16}
    from apps.medvqa.pocket import load_pocket

    picture = load_pocket("heldout", 1)[0].pictures[0]
    (answers,) = model.generate([ask("Is there a nodule?", [picture])], 4)
    assert len(answers) == 1


def test_the_card_holds_command_seed_and_figures(made):
    folder = made / "assets" / "model"
    card = (folder / "README.md").read_text("utf-8")
    figures = json.loads((folder / "figures.json").read_text("utf-8"))
    for told in ("not for clinical use", "seed 0", "| all | 6 |", "swapped", "no benchmark results", "python -m apps"):
        assert told in card
    assert figures["looking"]["all"]["true"]["n"] == 6
    assert figures["spread"]["mixed"]["n"] == 2
    # Nothing that executes when it is read.
    assert not [path for path in folder.rglob("*") if path.suffix in {".pt", ".bin", ".pkl"}]


def test_a_stopped_run_goes_on_to_the_same_weights(made, tmp_path, monkeypatch):
    from common.training.vision.language import LanguageLearner
    from common.training.vision.tower import TowerLearner

    def stop_at(learner, step):
        whole = learner.step

        def stopping(self):
            if self.steps == step:
                raise KeyboardInterrupt
            return whole(self)

        return pytest.MonkeyPatch.context(), stopping

    config, run = config_in(tmp_path), None
    for learner, step in ((TowerLearner, 3), (LanguageLearner, 3)):
        context, stopping = stop_at(learner, step)
        with context as patch:
            patch.setattr(learner, "step", stopping)
            with pytest.raises(Interrupted, match="--resume"):
                run_pretrain(config, str(tmp_path / "assets"), run)
        (run,) = (tmp_path / "runs" / "medvqa").iterdir()
    assert run_pretrain(config, str(tmp_path / "assets"), run) == 0
    expected, found = weights_of(made / "assets"), weights_of(tmp_path / "assets")
    assert all(torch.equal(value, found[name]) for name, value in expected.items())
    log = [json.loads(line) for line in (run / "log.jsonl").read_text("utf-8").splitlines()]
    assert [(row["stage"], row["step"]) for row in log] == [
        (stage, step) for stage in (SEE, SAY) for step in (1, 2, 3, 4)
    ]
    assert not list((run / "checkpoints").rglob("*.pt"))


def test_other_data_than_phantoms_are_refused(tmp_path):
    config = config_in(tmp_path)
    config.heldout = DataConfig(format="vqa_rad", path="x")
    with pytest.raises(UsageError, match="must be pocket"):
        run_pretrain(config, str(tmp_path))


def test_pictures_are_drawn_as_large_as_the_model_sees_them():
    from apps.medvqa.pocket import load_pocket

    examples = load_pocket("demonstrations", 2, pictures=False)
    settings = replace(SMALL, grid=5)
    assert {picture.size for picture in pretrain.drawn(examples, pretrain.shape(settings, 0).side)} == {(140, 140)}
