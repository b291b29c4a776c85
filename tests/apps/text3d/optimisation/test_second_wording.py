"""Case 29: the prompt in other words as a held-out critic, and the alarm where it falls while the reward rises."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from apps.text3d.config import Text3dConfig
from apps.text3d.generate import run_generate
from apps.text3d.guidance.base import Term, Weighted
from apps.text3d.guidance.vlm import VlmReward
from apps.text3d.optimisation.critics import second_wording
from apps.text3d.optimisation.hacking import HackingWatch
from apps.text3d.prompts.parser import parse
from apps.text3d.prompts.rewording import another
from common.config import load
from common.files import read_json
from common.models.small_vlm import make_small_vlm, save_small_vlm
from common.training.run import Run
from tests.apps.text3d.export.solids import Solid, sphere

POCKET = Path(__file__).resolve().parents[4] / "configs" / "text3d" / "pocket.yaml"
SCENE: Any = Solid(sphere())


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("a red cube left of a blue sphere", "a blue sphere right of a red cube"),
        ("a green cone", "There is a green cone."),
        ("a corgi that juggles", "a picture that shows a corgi that juggles"),
        ("a red cube with eyes", "a picture that shows a red cube with eyes"),
    ],
)
def test_other_words_say_the_same_and_lose_nothing(text: str, other: str) -> None:
    assert another(parse(text)) == other


def watched(run: Run, scores: list[float], rewards: list[float], first: int = 1) -> HackingWatch:
    waiting = iter(scores)
    watch = HackingWatch(run, "scene", parse("a dragon"), lambda scene: next(waiting))
    for step, reward in enumerate(rewards, start=first):
        run.log(step, "scene", **watch(step, {"vlm.semantic.reward": reward}, SCENE))
    return watch


def test_a_reward_that_rises_while_the_second_wording_falls_is_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = Run.create(tmp_path, "gamed", {}, 0, "…")
    watched(run, [0.9, 0.8, 0.65], [1.0, 2.0, 3.0])
    assert not run.alarms()
    # Whoever resumes has not forgotten the first three.
    run = Run.resume(run.folder)
    watched(run, [0.5, 0.4], [4.0, 5.0], first=4)
    (alarm,) = run.alarms("scene")
    assert alarm["kind"] == "proxy_gold"
    assert "while second_wording fell" in caplog.text
    assert [row["second_wording"] for row in run.rows("scene")] == [0.9, 0.8, 0.65, 0.5, 0.4]


@pytest.mark.parametrize(
    ("scores", "rewards"),
    [
        ([0.4, 0.5, 0.6, 0.7, 0.8], [1.0, 2.0, 3.0, 4.0, 5.0]),
        ([0.8, 0.7, 0.6, 0.5, 0.4], [5.0, 4.0, 3.0, 2.0, 1.0]),
        ([0.5, 0.52, 0.49, 0.51, 0.5], [1.0, 2.0, 3.0, 4.0, 5.0]),
    ],
    ids=["both rise", "both fall", "it stays"],
)
def test_an_honest_run_is_not(tmp_path: Path, scores: list[float], rewards: list[float]) -> None:
    run = Run.create(tmp_path, "honest", {}, 0, "…")
    watched(run, scores, rewards)
    assert not run.alarms()


class Fooled:
    """A VLM that says yes to one text whatever it sees, and looks where it is asked in other words."""

    model = SimpleNamespace(device="cpu")

    def __init__(self, text: str) -> None:
        self.text = text
        self.asked: list[str] = []

    def yes_logit(self, pictures: Any, texts: Any, *rest: Any) -> torch.Tensor:
        self.asked += texts
        seen = torch.stack([one[0].mean() for one in pictures])
        return torch.stack(
            [
                torch.tensor(9.0) if self.text in text else 20 * value - 10
                for text, value in zip(texts, seen, strict=True)
            ]
        )


def test_it_asks_in_other_words_of_views_that_tell_the_prompts_relations() -> None:
    prompt = parse("a red cube left of a blue sphere")
    vlm = Fooled(prompt.text)
    reward = VlmReward(vlm, [])  # type: ignore[arg-type]
    score = second_wording(prompt, Weighted({"vlm.semantic": Term(reward)}), 12)
    assert score is not None
    dark, bright = (score(Solid(sphere(), colour=torch.full((3,), shade))) for shade in (0.0, 1.0))  # type: ignore[arg-type]
    assert 0 <= dark < bright <= 1
    assert len(vlm.asked) == 2  # the prompt's own side alone: from the others left is right
    assert all("a blue sphere right of a red cube" in text for text in vlm.asked)
    vlm.asked.clear()
    everywhere = second_wording(parse("a red cube"), Weighted({"vlm.semantic": Term(reward)}), 12)
    assert everywhere is not None
    everywhere(SCENE)
    assert len(vlm.asked) == 4


def test_it_is_logged_with_the_previews_and_moves_no_bit_of_the_scene(tmp_path: Path) -> None:
    save_small_vlm(*make_small_vlm(["a red cube yes no Yes No YES NO Does the picture show"] * 3), tmp_path / "vlm")
    options = [
        *("--guidance.analytic=0", "--guidance.vlm.semantic=1", f"--guidance.vlm.model={tmp_path / 'vlm'}"),
        *("--guidance.vlm.per_step=2", "--optimise.steps=2", "--optimise.size=28", "--optimise.viewpoints.views=2"),
        *("--scene.voxel.resolution=8", "--export.resolution=0", "--export.frames=0", "--export.size=28"),
        *("--export.views=2", "--evaluate.views=2", f"--runs={tmp_path}"),
    ]
    prints = []
    for name, every in (("seen", 1), ("unseen", 0)):
        config = load(Text3dConfig, POCKET, [*options, f"--preview_every={every}"])
        assert run_generate(config, "a red cube", name=name) == 0
        prints.append(read_json(tmp_path / name / "result.json")["fingerprint"])
        rows = [json.loads(line) for line in (tmp_path / name / "log.jsonl").read_text().splitlines()]
        assert [0 <= row.get("second_wording", -1) <= 1 for row in rows] == [bool(every)] * 2
    assert prints[0] == prints[1]


def test_where_no_model_guides_that_reads_nothing_is_asked() -> None:
    class Grey:
        def loss(self, views: Any, cameras: Any, step: int, generator: Any = None) -> Any:
            return views.rgb.mean(), {}

    assert second_wording(parse("a red cube"), Weighted({"analytic": Term(Grey())}), 8) is None
