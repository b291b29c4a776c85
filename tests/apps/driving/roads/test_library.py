"""Finding road networks by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from apps.driving.roads.library import MAPS, SHIPPED, known_maps, load_roads, opendrive_of
from apps.driving.roads.opendrive import digest_of
from common.errors import UsageError
from tests.apps.driving.roads.small import network


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_maps_are_found_by_name_and_kept(name: str) -> None:
    roads = load_roads(name)
    assert roads.name == name
    assert load_roads(name) is roads
    assert load_roads(f"{MAPS}/{name}.npz") is roads


def test_shipped_maps_are_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_roads("town").name == "town"


def test_unknown_names_are_answered_with_those_that_there_are() -> None:
    with pytest.raises(
        UsageError, match=r"no map 'twon' \(did you mean 'town'\?\); known: .*village.*routes\.folders"
    ):
        load_roads("twon")
    with pytest.raises(UsageError, match=r"gone\.npz: no such map file; known maps"):
        load_roads("gone.npz")


def test_folders_of_maps(tmp_path: Path) -> None:
    network(name="strip").save(tmp_path / "strip.npz")
    assert load_roads("strip", (tmp_path,)).name == "strip"
    with pytest.raises(UsageError, match="no map 'strip'"):
        load_roads("strip")
    assert known_maps((tmp_path,))["strip"] == tmp_path / "strip.npz"


def test_a_carla_release(tmp_path: Path) -> None:
    folder = tmp_path / "CarlaUE4" / "Content" / "Carla" / "Maps" / "OpenDrive"
    folder.mkdir(parents=True)
    network(name="Town99").save(folder / "Town99.npz")
    for name in ("Town99", "Carla/Maps/Town99", "Town99_Opt"):
        assert load_roads(name, (tmp_path,)).name == "Town99"


def test_the_npz_goes_before_the_xodr(tmp_path: Path) -> None:
    (tmp_path / "strip.xodr").write_text("never read")
    network().save(tmp_path / "strip.npz")
    assert load_roads("strip", (tmp_path,)).name == "strip"


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path = network(name="a").save(tmp_path / "m.npz")
    first = load_roads(path)
    network(name="another").save(path)
    assert (first.name, load_roads(path).name) == ("a", "another")


def test_the_opendrive_text_of_a_map_is_found_where_the_map_was_read(tmp_path: Path) -> None:
    own = network(name="own", digest=digest_of("<OpenDRIVE/>"))
    own.save(tmp_path / "own.npz")
    (tmp_path / "own.xodr").write_text("<OpenDRIVE/>")
    assert opendrive_of(own) is None
    assert opendrive_of(load_roads("own", (tmp_path,))) == "<OpenDRIVE/>"
    # A text of other roads, for instance of a newer version, is none of theirs.
    (tmp_path / "own.xodr").write_text("<OpenDRIVE></OpenDRIVE>")
    assert opendrive_of(load_roads(tmp_path / "own.npz")) is None


def test_carla_towns_by_path(carla_maps: Path) -> None:
    assert load_roads(carla_maps / "Town02.xodr").name == "Town02"
    assert load_roads("Town02", (carla_maps,)) is load_roads(carla_maps / "Town02.xodr")
