"""Phantoms by name: what can be asked for, what cannot, and that nothing is lost on the way through JSON."""

from __future__ import annotations

import pytest

from apps.medvqa.pocket import Finding, phantom
from apps.medvqa.pocket.catalogue import HELD_OUT, KINDS, ORGANS, SIDES, kinds_of, places_of
from apps.medvqa.pocket.study import from_json, make_study, to_json
from common.errors import UsageError


def test_a_phantom_is_what_was_asked_for():
    study = phantom("nodule", "left", "upper zone", 15, 2, seed=7)
    assert (study.modality, study.organ, study.seed) == ("xray", "chest", 7)
    assert study.findings == (Finding("nodule", "left", "upper zone", 15, 2),)
    assert study.find("nodule") is study.findings[0]
    assert study.find("cavity") is None
    assert study.spacing_mm(112) == pytest.approx(320 / 112)
    assert study.spacing_mm(336) == pytest.approx(320 / 336)


def test_what_is_not_given_is_filled_in():
    for kind in KINDS:
        study = phantom(kind.name, organ=kind.organ)
        assert study.organ == kind.organ
        assert (study.findings[0].size_mm > 0) == bool(kind.sizes)
    assert phantom().normal
    assert phantom("mass").organ == "head"
    assert phantom("cyst", "left").side == "left"
    assert phantom(organ="kidney", side="left").side == "left"


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"finding": "unicorn"}, "no finding 'unicorn'"),
        ({"finding": "nodule", "organ": "head"}, "no finding 'nodule' of the head"),
        ({"finding": "nodule", "side": "middle"}, "it can be at right upper zone"),
        ({"finding": "cardiomegaly", "side": "left"}, "cardiomegaly cannot be at side 'left'"),
        ({"finding": "nodule", "size_mm": 17}, "no such size, 17 mm; it comes in 15, 20, 25, 30 mm"),
        ({"finding": "nodule", "size_mm": 30, "count": 3}, "it comes in 15, 20 mm"),
        ({"finding": "nodule", "count": 4}, "cannot be 4 of nodule; 1 to 3"),
        ({"finding": "cyst", "count": 2}, "only 1"),
        ({"finding": "nodule", "count": 0}, "cannot be 0"),
        ({"organ": "elbow"}, "no organ 'elbow'; it has chest, head"),
        ({"organ": "chest", "side": "left"}, "shows both sides"),
    ],
)
def test_what_cannot_be_is_named(wanted, message):
    with pytest.raises(UsageError, match=message):
        phantom(**wanted)


def test_findings_of_one_picture_go_together():
    right, left = Finding("cyst", "right", "upper pole", 10), Finding("mass", "left", "lower pole", 10)
    with pytest.raises(UsageError, match="shows one side"):
        make_study("kidney", (right, left))
    with pytest.raises(UsageError, match="one finding of a kind"):
        make_study("chest", (Finding("pneumothorax", "right"), Finding("pneumothorax", "left")))


def test_json_keeps_everything():
    for study in (
        phantom(organ="kidney", side="left", seed=2**47),
        make_study("chest", (Finding("nodule", "left", "upper zone", 15, 3), Finding("cardiomegaly")), seed=1),
    ):
        assert from_json(to_json(study)) == study


def test_training_can_learn_every_held_out_combination_from_its_parts():
    """Each kind is held out at one zone on each side, never the same; each place is still seen with other kinds."""
    for kind in (kind for kind in KINDS if kind.place == "zone"):
        held = [place for place in places_of(kind) if (kind.organ, kind.name, *place) in HELD_OUT]
        known = [place for place in places_of(kind) if place not in held]
        assert [side for side, _ in held] == (list(SIDES) if ORGANS[kind.organ].sides else [""])
        assert len({zone for _, zone in held}) == len(held)
        assert {zone for _, zone in known} >= {zone for _, zone in held} or not ORGANS[kind.organ].sides
        for place in held:
            others = [one for one in kinds_of(kind.organ) if one != kind and place in places_of(one)]
            assert any((one.organ, one.name, *place) not in HELD_OUT for one in others), (kind.name, place)
