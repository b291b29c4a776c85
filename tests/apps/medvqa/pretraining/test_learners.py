"""The two stages learn, go on bit for bit, and touch nothing that is not theirs."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from apps.medvqa.pocket import phantom
from apps.medvqa.pocket.catalogue import KINDS
from apps.medvqa.pocket.study import Finding, make_study
from apps.medvqa.pretraining.truth import FIGURES, IGNORED, PLACES, truth_heads, truth_table
from common.training.heads import figure_accuracies, figure_losses
from common.training.rate import cosine
from common.training.vision.language import LanguageLearner
from common.training.vision.tower import TowerLearner
from tests.apps.medvqa.pretraining.conftest import SMALL


def tower_learner(tiny, **changes):
    return TowerLearner(
        replace(SMALL, **changes),
        tiny.model.model.visual,
        truth_heads(SMALL.hidden_size, 0),
        tiny.pictures,
        tiny.truth,
        0,
    )


def language_learner(tiny, **changes):
    return LanguageLearner(replace(SMALL, **changes), tiny.model, tiny.rows, tiny.pictures, 0)


@pytest.mark.parametrize(
    ("make", "changes"),
    [(tower_learner, {}), (language_learner, {}), (language_learner, {"tower_rate": 0.5})],
    ids=["tower", "language", "both"],
)
def test_a_resumed_training_equals_an_uninterrupted_one(make_tiny, make, changes):
    tinies = [make_tiny() for _ in range(3)]
    whole, first, second = (make(tiny, **changes) for tiny in tinies)
    for _ in range(4):
        whole.step()
    for _ in range(2):
        first.step()
    second.step()  # so that there is something to put back
    second.restore(first.state())
    for _ in range(2):
        second.step()
    for name, value in tinies[0].model.state_dict().items():
        assert torch.equal(value, tinies[2].model.state_dict()[name]), name


@pytest.mark.parametrize("make", [tower_learner, language_learner], ids=["tower", "language"])
def test_a_batch_that_comes_again_and_again_is_learnt(tiny, make):
    steps = {"vision_steps": 120, "language_steps": 120, "vision_batch_size": 40, "language_batch_size": 20}
    learner = make(tiny, **steps, vision_learning_rate=5e-3, language_learning_rate=5e-3)
    losses = [learner.step()["loss"] for _ in range(60)]
    assert losses[-1] < 0.6 * losses[0]


def test_the_tower_stage_leaves_the_language_model_alone_and_the_other_way_round(tiny):
    before = {name: value.clone() for name, value in tiny.model.state_dict().items()}

    def changed():
        return {name for name, value in tiny.model.state_dict().items() if not torch.equal(value, before[name])}

    tower_learner(tiny).step()
    seen = changed()
    assert seen
    assert all(name.startswith("model.visual.") for name in seen)
    before = {name: value.clone() for name, value in tiny.model.state_dict().items()}
    language_learner(tiny).step()
    said = changed()
    assert said
    assert not any(name.startswith("model.visual.") for name in said)
    language_learner(tiny, tower_rate=0.5).step()
    assert any(name.startswith("model.visual.") for name in changed())


def test_the_truth_of_a_study():
    nodules = Finding("nodule", "left", "upper zone", 20, 2)
    study = make_study("chest", (nodules, Finding("pneumothorax", "right")), seed=3)
    table = {name: rows[0] for name, rows in truth_table([study]).items()}
    names = [(kind.organ, kind.name) for kind in KINDS]
    nodule, film = names.index(("chest", "nodule")), names.index(("chest", "pneumothorax"))
    there = {names[row] for row in (table["kind"] == 1).nonzero().flatten().tolist()}
    assert there == {("chest", "nodule"), ("chest", "pneumothorax")}
    assert {names[row][0] for row in (table["kind"] != IGNORED).nonzero().flatten().tolist()} == {"chest"}
    assert (table["size"][nodule], table["count"][nodule]) == (1, 1)
    assert (table["size"][film], table["count"][film]) == (IGNORED, IGNORED)
    places = {PLACES[row]: int(table["place"][row]) for row in (table["place"] > 0).nonzero().flatten().tolist()}
    assert places == {("chest", "left", "upper zone"): 1, ("chest", "right", ""): 5}
    assert {PLACES[row][0] for row in (table["place"] != IGNORED).nonzero().flatten().tolist()} == {"chest"}
    assert (table["organ"].item(), table["view"].item()) == (0, IGNORED)
    kidney = truth_table([phantom("cyst", "left")])
    assert (kidney["organ"].item(), kidney["view"].item()) == (2, 1)


def test_heads_tell_every_figure_and_what_is_not_told_costs_nothing(tiny):
    torch.manual_seed(0)
    logits = truth_heads(8, 0)(torch.randn(3, 16, 8))
    assert {name: tuple(part.shape[1:]) for name, part in logits.items()} == FIGURES
    truth = {name: torch.full(part.shape[:2], IGNORED) for name, part in logits.items()}
    assert all(loss.item() == 0.0 for loss in figure_losses(logits, truth).values())
    certain = {name: rows.clone().clamp(min=0) for name, rows in tiny.truth.items()}
    logits = {
        name: 30.0 * torch.nn.functional.one_hot(certain[name], classes).float()
        for name, (_, classes) in FIGURES.items()
    }
    assert all(float(loss) < 1e-6 for loss in figure_losses(logits, tiny.truth).values())
    assert set(figure_accuracies(logits, tiny.truth).values()) == {1.0}


def test_the_learning_rate_rises_and_falls_to_nothing():
    rates = [cosine(step, 1000, 2.0, 50) for step in (0, 24, 49, 500, 1000, 2000)]
    assert rates[0] == pytest.approx(0.04)
    assert rates[1] == pytest.approx(1.0, abs=0.01)
    assert rates[2] == pytest.approx(2.0, abs=0.02)
    assert rates[3] == pytest.approx(1.0)
    assert rates[4:] == [0.0, 0.0]
