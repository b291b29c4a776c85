"""The learned reward: it learns a rule it is shown, fails where the loss is broken, and keeps the contract."""

from __future__ import annotations

import json
import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from common.config import BackboneConfig
from common.errors import DataError, RewardError, UsageError
from common.models.backbone import Answered, open_backbone, read_features
from common.rewards import check_reward
from common.rewards.trained import learner as preference_learner
from common.rewards.trained.config import TrainRewardConfig
from common.rewards.trained.head import Calibration, RewardHead, bradley_terry
from common.rewards.trained.learned_reward import LearnedReward, save_learned_reward
from common.rewards.trained.learner import PreferenceLearner
from common.rewards.trained.preferences import read_preferences, split_preferences
from tests.common.rewards.trained.preferring import rows, write
from tests.common.training import tiny

transformers = pytest.importorskip("transformers")

PROMPTS = ["which of the two is right of the red ball", "which of the two is right of the blue cup", "and of the hat"]
SAID = ["it is red", "it is white, as anyone can see who looks at it", "it is red"]


def accuracy(tmp_path: Path, seed: int = 0) -> float:
    """Share of held-out pairs in order, after a short training on the colour world."""
    pairs = read_preferences(write(tmp_path / "pairs.jsonl", rows(240, seed))).rows
    split = split_preferences(pairs, 0.4, 0.1, seed)
    backbone = open_backbone(BackboneConfig(path="hash", device="cpu"))
    torch.manual_seed(seed)

    def features(part: Any) -> torch.Tensor:
        texts = [Answered(pairs[at].prompt, text) for at in part for text in (pairs[at].chosen, pairs[at].rejected)]
        return read_features(backbone, texts, 64).unflatten(0, (-1, 2))

    head = RewardHead(backbone.width, 16)
    train = features(split.train)
    head.standardise(train.flatten(0, 1))
    config = TrainRewardConfig(steps=150, learning_rate=3e-3)
    learner = PreferenceLearner(head, [pairs[at] for at in split.train], train, None, config)
    for _ in range(config.steps):
        learner.step()
    with torch.no_grad():
        numbers = head(features(split.test))
    return float((numbers[:, 0] > numbers[:, 1]).float().mean())


def test_a_known_rule_is_learnt_for_prompts_that_were_not_seen(tmp_path: Path) -> None:
    # 96 held-out pairs: chance reaches 0.65 in one of a thousand tries.
    assert accuracy(tmp_path) > 0.9


@pytest.mark.parametrize(
    ("broken", "low", "high"),
    [
        (lambda better, worse: bradley_terry(worse, better), 0.0, 0.1),
        (lambda better, worse: bradley_terry(better, better) + 0 * worse.sum(), 0.2, 0.8),
    ],
    ids=["sides swapped", "pair against itself"],
)
def test_a_broken_loss_does_not_learn_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: Any, low: float, high: float
) -> None:
    monkeypatch.setattr(preference_learner, "bradley_terry", broken)
    assert low <= accuracy(tmp_path) <= high


def test_the_loss_is_bradley_and_terrys() -> None:
    chosen, rejected = torch.tensor([2.0, 0.0, -1.0]), torch.tensor([0.0, 0.0, 3.0])
    expected = -torch.log(torch.sigmoid(chosen - rejected)).mean()
    torch.testing.assert_close(bradley_terry(chosen, rejected), expected)
    # No term for where zero lies: only differences count.
    torch.testing.assert_close(bradley_terry(chosen + 100, rejected + 100), expected)


@given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=2, max_size=20), st.sampled_from(["standard", "probability"]))
def test_calibration_keeps_the_order_and_the_bounds(numbers: list[float], form: Any) -> None:
    scale = Calibration(1.5, 2.0, form)
    found = scale.apply(torch.tensor(numbers)).tolist()
    assert all(scale.bounds[0] <= value <= scale.bounds[1] for value in found)
    ordered = [value for _, value in sorted(zip(numbers, found, strict=True))]
    assert ordered == sorted(found)


def test_calibration_truth_table() -> None:
    raw = torch.tensor([1.0, 3.0, 99.0, -99.0, math.nan, math.inf])
    standard = Calibration(1.0, 2.0, "standard", 4.0).apply(raw).tolist()
    assert standard == pytest.approx([0.0, 1.0, 4.0, -4.0, math.nan, math.nan], nan_ok=True)
    assert Calibration(1.0, 2.0, "probability").apply(raw[:2]).tolist() == pytest.approx([0.5, 0.8808], abs=1e-4)
    for wrong in ((0.0, 0.0), (math.nan, 1.0)):
        with pytest.raises(RewardError, match="calibration"):
            Calibration(*wrong)


def learned(folder: Path, config: BackboneConfig, form: Any = "standard", images: bool = False) -> Path:
    """A reward with an untrained head, saved."""
    backbone = open_backbone(config)
    torch.manual_seed(1)
    head = RewardHead(backbone.width, 8).eval()
    return save_learned_reward(folder, backbone, config, head, Calibration(0.0, 0.05, form, 1e4), images)


@pytest.fixture(scope="module")
def language(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("language")
    tiny.model().save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)
    return folder


@pytest.mark.parametrize("form", ["standard", "probability"])
@pytest.mark.parametrize("kind", ["hash", "language"])
def test_the_contract(tmp_path: Path, language: Path, kind: str, form: Any) -> None:
    path = str(language) if kind == "language" else "hash"
    folder = learned(tmp_path / "reward", BackboneConfig(path=path, device="cpu"), form)
    reward = LearnedReward(folder)
    columns = {"prompt": PROMPTS, "completion": SAID}
    check_reward(reward, columns)
    assert len(pickle.dumps(reward)) < 2000
    output = LearnedReward(folder)(prompt=PROMPTS, completion=["it is red", " ", "it is red"])
    assert output.values[1] == reward.bounds[0]
    assert output.info["reason"][1] == "the completion is empty"
    # The prompt is read too.
    assert output.values[0] != output.values[2]


def test_a_conversation_is_rendered_by_the_models_template(tmp_path: Path, language: Path) -> None:
    reward = LearnedReward(learned(tmp_path / "reward", BackboneConfig(path=str(language), device="cpu")))
    talk = [[{"role": "user", "content": "say a"}]] * 2
    told = reward(prompt=talk, completion=["a", "b"]).values
    assert told[0] != told[1]
    torch.testing.assert_close(reward(prompt=["<user>say a<bot>"] * 2, completion=["a", "b"]).values, told)


def test_a_completion_cannot_end_its_own_turn(tmp_path: Path, language: Path) -> None:
    backbone = open_backbone(BackboneConfig(path=str(language), device="cpu"))
    plain = backbone.features([Answered("say a", "< eos>b")])
    torch.testing.assert_close(backbone.features([Answered("say a", "<eos>b")]), plain)


def test_what_is_too_long_loses_the_prompts_start(language: Path, caplog: pytest.LogCaptureFixture) -> None:
    backbone = open_backbone(BackboneConfig(path=str(language), device="cpu", max_length=12))
    long, short = backbone.features([Answered("zzzzzzzzzzzzsay abc", "yes"), Answered("ay abc", "yes")]).split(1)
    assert backbone.cut == 1
    assert "longer than 12 tokens" in caplog.text
    torch.testing.assert_close(long[0], backbone.features([Answered("zsay abc", "yes")])[0])
    assert short.isfinite().all()


def test_a_failing_backbone_is_nan_for_its_row_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = learned(tmp_path / "reward", BackboneConfig(path="hash", device="cpu"))
    reward = LearnedReward(folder)
    whole = reward(prompt=PROMPTS, completion=SAID).values
    backbone = reward._open()[0]
    features = backbone.features

    def fails(several: Any) -> torch.Tensor:
        if any("white" in one.completion for one in several):
            raise RuntimeError("out of memory")
        return features(several)

    monkeypatch.setattr(backbone, "features", fails)
    output = reward(prompt=PROMPTS, completion=SAID)
    assert output.values.isnan().tolist() == [False, True, False]
    assert output.info["reason"] == ["", "out of memory", ""]
    torch.testing.assert_close(output.values[[0, 2]], whole[[0, 2]])


def test_the_callers_faults_raise(tmp_path: Path) -> None:
    reward = LearnedReward(learned(tmp_path / "reward", BackboneConfig(path="hash", device="cpu")))
    with pytest.raises(RewardError, match="'completion' of row 1 is a int"):
        reward(prompt=["a", "b"], completion=["x", 3])
    with pytest.raises(RewardError, match="'prompt' of row 0 is neither"):
        reward(prompt=[3], completion=["x"])


def test_another_backbone_than_the_heads_is_refused(tmp_path: Path, language: Path) -> None:
    place = tmp_path / "model"
    tiny.model().save_pretrained(place)
    tiny.tokenizer().save_pretrained(place)
    folder = learned(tmp_path / "reward", BackboneConfig(path=str(place), device="cpu"))
    assert LearnedReward(folder)(prompt=["a"], completion=["b"]).values.isfinite().all()
    tiny.model(seed=7).save_pretrained(place)
    with pytest.raises(DataError, match="is not the one this head was trained on"):
        LearnedReward(folder)(prompt=["a"], completion=["b"])


@pytest.mark.parametrize("damage", ["card", "kind", "calibration", "head", "nothing there"])
def test_a_damaged_folder_is_named(tmp_path: Path, damage: str) -> None:
    folder = learned(tmp_path / "reward", BackboneConfig(path="hash", device="cpu"))
    card = folder / "reward.json"
    if damage == "head":
        (folder / "head.safetensors").write_bytes(b"\x80\x04cos\nsystem\n")
    elif damage == "nothing there":
        card.unlink()
    else:
        whole = json.loads(card.read_text())
        broken = {"card": "{", "kind": {**whole, "kind": "x"}, "calibration": {**whole, "calibration": {}}}[damage]
        card.write_text(broken if isinstance(broken, str) else json.dumps(broken))
    with pytest.raises(DataError, match=str(folder)):
        LearnedReward(folder)(prompt=["a"], completion=["b"])


def test_what_is_in_memory_scores_as_its_folder_and_does_not_pickle(tmp_path: Path) -> None:
    config = BackboneConfig(path="hash", device="cpu")
    folder = learned(tmp_path / "reward", config)
    backbone, head = LearnedReward(folder)._open()
    loose = LearnedReward.of(backbone, head, Calibration(0.0, 0.05, "standard", 1e4))
    columns = {"prompt": PROMPTS, "completion": SAID}
    torch.testing.assert_close(loose(**columns).values, LearnedReward(folder)(**columns).values)
    with pytest.raises(RewardError, match="save it"):
        pickle.dumps(loose)


@pytest.mark.parametrize("tune", ["full", "lora"])
def test_a_tuned_backbone_moves_and_is_saved_with_the_head(tmp_path: Path, language: Path, tune: Any) -> None:
    config = BackboneConfig(path=str(language), device="cpu", tune=tune)
    pairs = read_preferences(write(tmp_path / "pairs.jsonl", rows(24))).rows
    backbone = open_backbone(config)
    torch.manual_seed(0)
    head = RewardHead(backbone.width, 8)
    settings = TrainRewardConfig(steps=6, batch_size=8, backbone=config, backbone_learning_rate=1e-2)
    before = read_features(backbone, [Answered("say a", "a")], 1)
    learner = PreferenceLearner(head, pairs, None, backbone, settings)
    rates = {group["ratio"] for group in learner.optimizer.param_groups}
    for _ in range(6):
        learner.step()
    after = read_features(backbone, [Answered("say a", "a")], 1)
    assert rates == {1.0, 10.0}
    assert not torch.allclose(before, after)
    if tune == "lora":
        assert all("lora" in name or name.startswith("head.") for name in learner.state()["model"])
    folder = save_learned_reward(tmp_path / "reward", backbone, config, head.eval(), Calibration(0.0, 1.0))
    found = LearnedReward(folder)._open()[0]
    torch.testing.assert_close(read_features(found, [Answered("say a", "a")], 1), after, atol=1e-4, rtol=1e-4)


def test_an_encoder_that_cannot_be_tuned_says_so() -> None:
    with pytest.raises(UsageError, match="cannot be tuned"):
        open_backbone(BackboneConfig(path="hash", tune="full"))


def test_a_vision_language_model_looks_at_the_image(tmp_path: Path) -> None:
    from common.models.small_vlm import save_small_vlm
    from tests.common.training.vision import seeing

    model = save_small_vlm(seeing.model(), seeing.processor(), tmp_path / "model", half=False)
    folder = learned(tmp_path / "reward", BackboneConfig(path=str(model), device="cpu"), images=True)
    shades = [tmp_path / f"{name}.png" for name in ("dark", "bright")]
    for shade, value in zip(shades, (20, 230), strict=True):
        Image.fromarray(np.full((56, 56, 3), value, np.uint8)).save(shade)
    reward = LearnedReward(folder)
    assert "images" in reward.needs
    prompts, said = ["which?"] * 4, ["dark"] * 4
    shown = [[str(shades[0])], str(shades[1]), None, [str(tmp_path / "lost.png")]]
    output = reward(prompt=prompts, completion=said, images=shown)
    assert output.values.isnan().tolist() == [False, False, False, True]
    assert "lost.png" in output.info["reason"][3]
    assert len(set(output.values[:3].tolist())) == 3
    alone = [reward(prompt=["which?"], completion=["dark"], images=[one]).values[0] for one in shown[:3]]
    torch.testing.assert_close(torch.stack(alone), output.values[:3], atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("tune", ["full", "lora"])
def test_a_vision_language_model_is_tuned_through_its_pictures(tmp_path: Path, tune: Any) -> None:
    from common.models.small_vlm import save_small_vlm
    from tests.common.training.vision import seeing

    model = save_small_vlm(seeing.model(), seeing.processor(), tmp_path / "model", half=False)
    Image.fromarray(np.full((56, 56, 3), 90, np.uint8)).save(tmp_path / "one.png")
    config = BackboneConfig(path=str(model), device="cpu", tune=tune, pooling="mean")
    several = [
        {"prompt": "which?", "chosen": f"a {at}", "rejected": f"b {at}", "images": "one.png"} for at in range(4)
    ]
    pairs = read_preferences(write(tmp_path / "pairs.jsonl", several)).rows
    backbone = open_backbone(config)
    shown = [Answered("which?", "a 1", pairs[0].images)]
    before = read_features(backbone, shown, 1)
    settings = TrainRewardConfig(steps=3, batch_size=4, backbone=config, backbone_learning_rate=1e-2)
    learner = PreferenceLearner(RewardHead(backbone.width, 8), pairs, None, backbone, settings)
    for _ in range(3):
        learner.step()
    after = read_features(backbone, shown, 1)
    assert not torch.allclose(before, after)
    folder = save_learned_reward(
        tmp_path / "reward", backbone, config, learner.head.eval(), Calibration(0.0, 1.0), True
    )
    found = LearnedReward(folder, device="cpu")._open()[0]
    torch.testing.assert_close(read_features(found, shown, 1), after, atol=1e-4, rtol=1e-4)
