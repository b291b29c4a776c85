"""SPICE without its 385 MB of models: what is asked of Java, and what is said where they are absent."""

from __future__ import annotations

from pathlib import Path

import pytest

from apps.captioning.measures.java import CannotRun
from apps.captioning.measures.spice import JARS, find_jars, spice, spice_command
from tests.apps.captioning.measures.test_java import stand_in

pytest.importorskip("pycocoevalcap")

#: Reads the pictures as SPICE does and scores them 0.5, one as SPICE writes a value that it has not.
SCORING = """
import json, sys
arguments = sys.argv[1:]
if arguments == ["-version"]:
    print('openjdk version "17.0.1"')
    sys.exit()
assert "--add-opens=java.base/java.lang=ALL-UNNAMED" in arguments
rows = json.load(open(arguments[arguments.index("edu.anu.spice.SpiceScorer") + 1]))
assert rows[0]["test"] == "a dog" and rows[0]["refs"] == ["the dog"]
scores = [{"image_id": row["image_id"], "scores": {"All": {"f": None if row["image_id"] else 0.5}}} for row in rows]
json.dump(scores[::-1], open(arguments[arguments.index("-out") + 1], "w"))
"""


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "stanford models"
    folder.mkdir()
    for name in JARS:
        (folder / name).touch()
    return folder


def test_absent_models_are_named_with_the_way_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(CannotRun, match=r"no stanford-corenlp-3\.6\.0\.jar and no .*give their folder"):
        find_jars(tmp_path)


def test_the_users_models_join_the_wheels_libraries(models: Path) -> None:
    jars = find_jars(models)
    assert jars[-2:] == [models / name for name in JARS]
    assert {"spice-1.0.jar", "guava-19.0.jar"} <= {jar.name for jar in jars}


@pytest.mark.parametrize(("version", "opened"), [(8, False), (15, False), (16, True), (21, True)])
def test_later_versions_of_java_are_opened(version: int, opened: bool, models: Path, tmp_path: Path) -> None:
    command = spice_command([models / JARS[0]], tmp_path / "in", tmp_path / "out", tmp_path / "cache", version)
    assert any(word.startswith("--add-opens") for word in command) == opened


def test_scores_come_back_in_the_pictures_order(models: Path, tmp_path: Path) -> None:
    found = spice(["a dog", ""], [["the dog"], ["a cat"]], models, stand_in(tmp_path, SCORING))
    assert found[0] == 0.5
    assert found[1] != found[1]


def test_a_run_without_a_result_has_a_reason(models: Path, tmp_path: Path) -> None:
    silent = stand_in(tmp_path, "print('openjdk version \"17.0.1\"')\n")
    with pytest.raises(CannotRun, match="no readable result"):
        spice(["a dog"], [["the dog"]], models, silent)
