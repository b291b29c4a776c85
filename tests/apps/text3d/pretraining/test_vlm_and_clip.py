"""The pocket VLM and CLIP: what they are shown and asked, that they learn, that they resume, and what is written."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from apps.text3d.config import Text3dConfig
from apps.text3d.pocket.solids import Solid
from apps.text3d.pocket.world import World
from apps.text3d.pretrain import make_part, run_pretrain
from apps.text3d.pretrain_config import ClipPretrainConfig, PretrainConfig, VlmPretrainConfig
from apps.text3d.pretraining.clip import ClipLearner, told_apart
from apps.text3d.pretraining.faults import Patched, Shown, emptied
from apps.text3d.pretraining.pictures import Pictures, load, seen
from apps.text3d.pretraining.questions import asked
from apps.text3d.pretraining.sight import FIGURES, sight_heads, truth_table
from apps.text3d.pretraining.vlm import SAY, SEE, accuracies, shape
from apps.text3d.prompts.parser import parse
from apps.text3d.prompts.questions import NO, YES
from common.models.clip import Clip
from common.models.clip_folder import compact_tokenizer
from common.models.qwen_tower import tokens
from common.models.small_vlm import make_small_vlm
from common.models.vlm import VisionLanguageModel
from common.training.heads import IGNORED
from common.training.stage import Interrupted
from common.training.vision.language import LanguageLearner
from common.training.vision.tower import TowerLearner

VLM = VlmPretrainConfig(
    grid=2,
    hidden_size=32,
    intermediate_size=48,
    layers=1,
    heads=2,
    vision_size=32,
    vision_intermediate=32,
    vision_layers=1,
    vision_heads=2,
    scenes=48,
    questions=2,
    vision_steps=3,
    vision_batch_size=8,
    language_steps=3,
    language_batch_size=4,
    heldout=3,
)
CLIP = ClipPretrainConfig(size=32, width=8, embedding=32, text_width=32, text_layers=1, scenes=48, steps=3, heldout=4)


@pytest.fixture(scope="module")
def pictures() -> Pictures:
    return load("train", 48, 56, 0, hidden=True)


def test_faults_are_the_same_each_time_and_can_be_left_away(pictures: Pictures) -> None:
    rows = list(range(24))
    first, second, whole = Shown(pictures, 0), Shown(pictures, 0), Shown(pictures, 0, faults=False)
    assert torch.equal(first.shown(rows), second.shown(rows))
    assert torch.equal(first.shown([5]), first.shown(rows)[5:6])
    assert torch.equal(whole.shown(rows), pictures.on(rows, whole.background[rows]))
    same = [bool(torch.equal(first.shown([row]), whole.shown([row]))) for row in rows]
    assert 0.15 < sum(same) / len(same) < 0.7


def test_the_towers_patches_are_those_of_the_processor(pictures: Pictures) -> None:
    """In colour; the grey ones are compared in tests/apps/medvqa/pretraining."""
    model, processor = make_small_vlm(["a cube"], shape(VLM, 0))
    shown = Patched(pictures, processor, 0)
    rows = [0, 3, 7]
    pixels, grid = shown.preprocess(shown.shown(rows))
    tower: Any = model.model.visual
    stock = tower(pixels, grid_thw=grid).pooler_output
    assert torch.allclose(stock, tokens(tower, shown, rows).flatten(0, 1), atol=1e-5)


def test_emptied_scenes_are_asked_and_answered_with_no(pictures: Pictures) -> None:
    bare = emptied(pictures, 0.5, 0)
    gone = [row for row, world in enumerate(bare.worlds) if not world.solids]
    assert len(gone) == 24
    assert sum(int(bare.opacity[row].max()) == 0 for row in gone) == 12
    assert {row.answer for row in asked(bare, 4, 0) if row.picture in gone} == {NO}
    kept = [row for row in range(48) if row not in gone]
    assert torch.equal(bare.colours[kept], pictures.colours[kept])


def test_the_truth_is_told_as_the_camera_sees_it() -> None:
    prompt = parse("a red cube left of a blue sphere")
    world = World(prompt, (Solid("cube", "red", 0.3, (0, -0.6, 0), 0), Solid("sphere", "blue", 0.3, (0, 0.6, 0), 0)))
    table = truth_table(
        replace(seen([world, world], 16, 0, hidden=True), azimuths=[0.0, 180.0], shares=[[1.0] * 2] * 2)
    )
    kinds, colours = (list(range(8)) for _ in range(2))
    cube, sphere, red, blue = kinds[0], kinds[1], colours[0], colours[5]
    assert table["kinds"][0].tolist() == [1, 1, 0, 0, 0, 0, 0, 0]
    assert (int(table["colour of"][0, cube]), int(table["kind of"][0, blue])) == (red, sphere)
    assert int(table["colour of"][0, 2]) == IGNORED
    assert [int(table["across, kind"][row, cube]) for row in (0, 1)] == [0, 6]
    assert [int(table["across, colour"][row, blue]) for row in (0, 1)] == [6, 0]


def test_what_hangs_on_something_hidden_is_not_taught() -> None:
    prompt = parse("two red cubes")
    world = World(prompt, (Solid("cube", "red", 0.3, (0, -0.6, 0), 0), Solid("cube", "red", 0.3, (0, 0.6, 0), 0)))
    table = truth_table(replace(seen([world], 16, 0, hidden=True), shares=[[1.0, 0.1]]))
    assert int(table["kinds"][0, 0]) == int(table["colours"][0, 0]) == IGNORED
    assert int(table["kinds"][0, 1]) == 0


def test_figures_are_read_in_one_way_for_all_rows() -> None:
    """So that a colour never shown with a kind is not learnt to be impossible."""
    heads = sight_heads(16, 0)
    assert {name: tuple(part.shape[1:]) for name, part in heads(torch.randn(2, 4, 16)).items()} == FIGURES
    assert {len(weight) for weight in heads.weights.values()} == {1}


def test_a_model_that_knows_the_truth_is_right_throughout(pictures: Pictures) -> None:
    rows = asked(pictures, 2, 0)[:40]
    truth = {row.text: row.answer for row in rows}
    rows = [row for row in rows if truth[row.text] == row.answer]

    class Knowing:
        def yes_logit(self, shown: Any, texts: list[str]) -> torch.Tensor:
            return torch.tensor([1.0 if truth[text] == YES else -1.0 for text in texts])

        def log_prob(self, prompts: Any, answers: list[str], end: bool) -> tuple[torch.Tensor, None]:
            wanted = truth[prompts[0].messages[0]["content"]]
            return torch.tensor([float(answer == wanted) for answer in answers]), None

    found = accuracies(Knowing(), Shown(pictures, 0), rows)  # type: ignore[arg-type]
    assert {share.mean for share in found.values()} == {1.0}
    assert "colour" in found


def test_pretrain_makes_a_model_that_answers_and_a_stopped_one_goes_on_to_the_same(tmp_path: Path) -> None:
    config = _config(tmp_path)
    folder = make_part(config, "vlm", "python -m apps.text3d pretrain --only vlm")
    vlm = VisionLanguageModel(folder)
    assert vlm.yes_logit(torch.rand(1, 3, 56, 56), "Is there a cube? Answer Yes or No only.").shape == (1,)
    figures = json.loads((folder / "figures.json").read_text())
    assert set(figures["right"]) == {
        f"{split}, {state}" for split in ("test_seen", "test_held") for state in ("whole", "faulty")
    }
    assert "--only vlm" in (folder / "README.md").read_text()
    again = _config(tmp_path / "again")
    for learner in (TowerLearner, LanguageLearner):
        whole = learner.step

        def stopping(self: Any, whole: Any = whole) -> dict[str, float]:
            if self.steps == 2:
                raise KeyboardInterrupt
            found: dict[str, float] = whole(self)
            return found

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(learner, "step", stopping)
            with pytest.raises(Interrupted):
                make_part(again, "vlm", "x")
    other = make_part(again, "vlm", "x")
    wanted, found = (VisionLanguageModel(each).model.state_dict() for each in (folder, other))
    assert all(torch.equal(value, found[name]) for name, value in wanted.items())
    (run,) = (tmp_path / "again" / "runs").iterdir()
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [(row["stage"], row["step"]) for row in log] == [
        (stage, step) for stage in (SEE, SAY) for step in (1, 2, 3)
    ]


def test_pretrain_makes_a_clip_and_the_held_out_one_is_another(tmp_path: Path) -> None:
    config = _config(tmp_path)
    for part in ("clip", "clip-held-out"):
        assert run_pretrain(config, part) == 0
    first, second = (Clip(tmp_path / "out" / part) for part in ("clip", "clip-held-out"))
    texts = ["a red cube", "two blue cones"]
    assert not torch.allclose(first.text(texts), second.text(texts), atol=1e-2)
    assert set(told_apart(first, load("test_seen", 4, 32, 0), 0)) == {"R@1", "colour", "kind", "count", "relation"}
    assert "hard" not in (tmp_path / "out" / "clip" / "README.md").read_text().splitlines()[0]


def test_the_clip_learns_and_goes_on_bit_for_bit() -> None:
    config = replace(CLIP, steps=60, batch_size=16, learning_rate=3e-3)
    pictures = load("train", 48, 32, 0)
    tokenizer = compact_tokenizer([pictures.text(row) for row in range(48)], 400, 40)
    whole, first, second = (ClipLearner(config, pictures, tokenizer, 0) for _ in range(3))
    losses = [whole.step()["loss"] for _ in range(60)]
    assert sum(losses[-10:]) < 0.7 * sum(losses[:10])
    first.step()
    second.restore(copy.deepcopy(first.state()))
    states = []
    for one in (first, second):
        one.step()
        states.append(one.model.state_dict())
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def _config(folder: Path) -> Text3dConfig:
    return Text3dConfig(
        pretrain=PretrainConfig(out=str(folder / "out"), vlm=VLM, clip=CLIP), runs=str(folder / "runs")
    )
