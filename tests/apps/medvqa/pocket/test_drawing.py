"""The pictures keep to their truth: side, zone, size in mm and number can be measured in the pixels."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from apps.medvqa.pocket import LABEL, Finding, counterpart, draw, phantom
from apps.medvqa.pocket.catalogue import KINDS, ORGANS, kind_of, places_of
from apps.medvqa.pocket.study import make_study
from common.errors import UsageError
from tests.apps.medvqa.pocket.pixels import centre_mm, change, spots

PLACED = [(kind, place) for kind in KINDS if kind.place == "zone" for place in places_of(kind)]
SIDED = [(kind, side) for kind in KINDS for side, _ in places_of(kind) if side and ORGANS[kind.organ].name != "kidney"]


def label(value):
    """How a parameter is called in a test's name."""
    if isinstance(value, tuple):
        return " ".join(value).strip()
    return value if isinstance(value, str) else f"{value.organ} {value.name}"


def grey(study, size=112):
    return np.asarray(draw(study, size), np.int16)


@pytest.mark.parametrize("organ", ORGANS)
def test_a_picture_is_grey_of_the_size_asked_for_and_labelled(organ):
    for size in (112, 84, 336):
        picture = draw(make_study(organ), size)
        assert (picture.mode, picture.size) == ("L", (size, size))
        assert picture.info["label"] == LABEL
        assert grey(make_study(organ), size).std() > 20
    assert "not for clinical use" in LABEL
    with pytest.raises(UsageError, match="56 pixels"):
        draw(make_study(organ), 20)


@pytest.mark.parametrize("organ", ORGANS)
def test_one_seed_one_picture(organ):
    one, again, other = (grey(make_study(organ, seed=seed)) for seed in (3, 3, 4))
    assert np.array_equal(one, again)
    assert (one != other).mean() > 0.3


@pytest.mark.parametrize(("kind", "side"), SIDED, ids=label)
def test_the_patients_right_is_on_the_pictures_left(kind, side):
    zone = next((zone for its, zone in places_of(kind) if its == side), "")
    for seed in range(3):
        x, _ = centre_mm(phantom(kind.name, side, zone, organ=kind.organ, seed=seed))
        assert (x < 0) == (side == "right")


def test_the_markers_say_the_side():
    """An R stands on the picture's left, and on a right kidney's picture; an L is one stroke down, one along."""
    for organ in ("chest", "head", "leg"):
        pixels, row = grey(make_study(organ)), 62 if organ == "leg" else 2
        left, right = pixels[row : row + 10, :7], pixels[row : row + 10, -7:]
        assert (left > 180).sum() > (right > 180).sum() > 4
    markers = [grey(phantom(organ="kidney", side=side))[4:20, 2:14] > 180 for side in ("right", "left")]
    assert markers[0].sum() > markers[1].sum() > 15


@pytest.mark.parametrize(("kind", "place"), PLACED, ids=label)
def test_a_finding_lies_in_its_zone(kind, place):
    """Nearer to the middle of its own zone than to any other's, whatever its size."""
    along = 0 if kind.organ in ("kidney", "gallbladder") else 1
    zones = ORGANS[kind.organ].zones

    def at(zone, size, seed):
        return centre_mm(phantom(kind.name, place[0], zone, size, organ=kind.organ, seed=seed))[along]

    middles = {zone: (at(zone, 0, 1) + at(zone, 0, 2)) / 2 for zone in zones}
    assert list(middles.values()) == sorted(middles.values())
    for seed, size in enumerate(kind.sizes or (0,), start=20):
        here = at(place[1], size, seed)
        assert min(zones, key=lambda zone: abs(middles[zone] - here)) == place[1]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.sizes], ids=label)
def test_the_size_can_be_measured(kind):
    """The width of what is changed, in mm by the pixel spacing, is nearer to the size than to any other."""
    for seed, size in product((5, 6, 7), kind.sizes):
        study = phantom(kind.name, size_mm=size, organ=kind.organ, seed=seed)
        what = change(study, 336)
        if kind.bright is None:
            # The ring of a mass in the brain is brighter than all that the mass pushes aside.
            seen = what > 80 if kind.organ == "head" else np.abs(what) > 30
        else:
            seen = what > 60 if kind.bright else what < -25
        columns = np.flatnonzero(seen.any(axis=0))
        width = (columns[-1] - columns[0] + 1) * study.spacing_mm(336)
        assert min(kind.sizes, key=lambda known: abs(known - width)) == size, (seed, width)


@pytest.mark.parametrize("name", [kind.name for kind in KINDS if kind.crowd])
@pytest.mark.parametrize("size", [112, 336])
def test_they_can_be_counted(name, size):
    organ = next(kind.organ for kind in KINDS if kind.name == name)
    kind = kind_of(organ, name)
    for count in (1, 2, 3):
        sizes = kind.sizes if count == 1 else kind.crowd[count - 2]
        for seed in range(3):
            study = phantom(name, "", "", sizes[0], count, seed=seed)
            what = change(study, size) * (1 if kind.bright else -1)
            assert len([area for area in spots(what > 60) if area > (size / 112) ** 2 * 2]) == count, (seed, count)


@pytest.mark.parametrize("kind", KINDS, ids=label)
def test_every_finding_can_be_seen_at_112_pixels(kind):
    """The smallest of each stands out of the noise, at every place."""
    for seed, place in enumerate(places_of(kind)):
        size = kind.sizes[0] if kind.sizes else 0
        seen = np.abs(change(phantom(kind.name, *place, size, organ=kind.organ, seed=seed)))
        assert (seen > 25).sum() >= 9, place
        assert seen.max() > 45, place


@pytest.mark.parametrize("kind", KINDS, ids=label)
def test_the_truth_is_the_same_at_every_size(kind):
    study = phantom(kind.name, organ=kind.organ, seed=11)
    small, large = centre_mm(study, 112), centre_mm(study, 336)
    assert np.allclose(small, large, atol=3 * study.spacing_mm())


def test_a_mass_pushes_the_midline_away_from_it_and_nothing_else_does():
    """The dark ventricles move; the mass itself, far from the middle, is left out."""

    def middle(study):
        dark = np.asarray(draw(study), np.float32)[40:60, 46:67]
        dark = np.clip(dark.max() - dark, 0, None) ** 4
        return float((dark.sum(0) * np.arange(dark.shape[1])).sum() / dark.sum())

    for seed in range(4):
        still = middle(phantom(organ="head", seed=seed))
        right = middle(phantom("mass", "right", "occipital lobe", 10, organ="head", seed=seed))
        left = middle(phantom("mass", "left", "occipital lobe", 10, organ="head", seed=seed))
        blood = middle(phantom("haemorrhage", "left", "occipital lobe", 10, seed=seed))
        assert left < still - 1.5 < still + 1.5 < right
        assert blood == pytest.approx(still, abs=0.2)


def test_stones_cast_shadows_and_polyps_do_not():
    stone = change(phantom("gallstone", "", "gallbladder body", 10, seed=2))
    polyp = change(phantom("polyp", "", "gallbladder body", 10, seed=2))
    assert (stone[75:100] < -30).sum() > 60
    assert (polyp[75:100] < -30).sum() == 0


def test_a_second_finding_leaves_the_first_where_it_is():
    one, two = Finding("nodule", "right", "lower zone", 20), Finding("pleural effusion", "left")
    alone, both = make_study("chest", (one,), seed=1), make_study("chest", (one, two), seed=1)
    half = slice(0, 50)
    assert np.array_equal(grey(alone)[:, half], grey(both)[:, half])


def test_counterparts_differ_in_the_finding_alone():
    study = phantom("nodule", "left", "upper zone", 20, seed=4)
    normal, flipped = counterpart(study), counterpart(study, "flip")
    assert normal == phantom(seed=4)
    assert flipped == phantom("nodule", "right", "upper zone", 20, seed=4)
    assert (np.abs(change(study)) > 3).mean() < 0.02
    (x, y), (over, down) = centre_mm(study), centre_mm(flipped)
    assert over == pytest.approx(-x, abs=12)
    assert down == pytest.approx(y, abs=3)
    kidney = counterpart(phantom("cyst", "left", "upper pole", 20), "flip")
    assert (kidney.side, kidney.findings[0].side) == ("right", "right")
    for study, which in ((phantom(), "remove"), (phantom("cardiomegaly"), "flip"), (phantom("polyp"), "flip")):
        with pytest.raises(UsageError, match=r"nothing to remove|no side to change"):
            counterpart(study, which)
