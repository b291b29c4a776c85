"""Going on with a run: longer, and never otherwise; and the turntables that show it on the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from apps.text3d.config import Text3dConfig
from apps.text3d.generate import run_generate
from common.cli import App, Flag, Verb
from common.config import load
from common.errors import UsageError
from common.files import read_json

POCKET = Path(__file__).resolve().parents[3] / "configs" / "text3d" / "pocket.yaml"
SHORT = [
    *("--optimise.steps=4", "--optimise.size=16", "--scene.voxel.resolution=10", "--optimise.viewpoints.views=2"),
    *("--export.resolution=20", "--export.frames=0", "--export.size=24", "--export.views=2", "--preview_every=0"),
    *("--scene.voxel.march.samples=12", "--optimise.learning_rate=0.3", "--evaluate.views=2"),
]


def made(folder: Path, name: str, *more: str) -> Path:
    assert (
        run_generate(load(Text3dConfig, POCKET, [*SHORT, f"--runs={folder}", *more]), "a green sphere", name=name) == 0
    )
    return folder / name


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run that stays as it is."""
    return made(tmp_path_factory.mktemp("runs"), "short")


def test_a_run_made_longer_equals_the_one_that_was_long_from_the_start(tmp_path: Path) -> None:
    long, short = made(tmp_path, "long", "--optimise.steps=7"), made(tmp_path, "short")
    assert run_generate(Text3dConfig(), resume=str(short), given=["--optimise.steps=7", "--optimise.minutes=60"]) == 0
    assert read_json(short / "result.json")["steps"] == 7
    assert (short / "scene.ply").read_bytes() == (long / "scene.ply").read_bytes()
    # It stays so: the next time nothing need be said, and what was before is written down.
    kept = load(Text3dConfig, short / "config.yaml").optimise
    assert (kept.steps, kept.minutes) == (7, 60.0)
    (change,) = read_json(short / "run.json")["changes"]
    assert (change["optimise.steps"], change["optimise.minutes"]) == ([4, 7], [0.0, 60.0])
    # Only the new steps were taken: each is in the log once.
    assert [row.split('"step": ')[1].split(",")[0] for row in (short / "log.jsonl").read_text().splitlines()] == list(
        "1234567"
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--seed=3"], r"seed \(0 there, 3 now\)"),
        (["--optimise.steps=9", "--scene.kind=hashgrid", "--guidance.sds.scale=7"], r"scene\.kind .*guidance\.sds"),
        (["--optimise.steps=3"], "has taken 4; give 4 to end it there, or more"),
        ([f"--config={POCKET}"], r"scene\.voxel\.resolution \(10 there, 48 now\).*optimise\.size"),
        (["--optimise.stps=9"], r"unknown option --optimise.stps; did you mean '--optimise.steps'"),
    ],
)
def test_anything_else_is_refused_by_name_and_nothing_is_touched(short: Path, given: list[str], message: str) -> None:
    before = {path.name: path.read_bytes() for path in short.iterdir() if path.is_file()}
    with pytest.raises(UsageError, match=message):
        run_generate(Text3dConfig(), resume=str(short), given=given)
    assert {path.name: path.read_bytes() for path in short.iterdir() if path.is_file()} == before


def test_what_is_given_as_it_was_changes_nothing(short: Path) -> None:
    assert run_generate(Text3dConfig(), resume=str(short), given=["--seed=0", "--optimise.steps=4"]) == 0
    assert "changes" not in read_json(short / "run.json")


def test_what_is_typed_arrives_from_the_command_line(short: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = (Flag("prompt", "what", {"nargs": "?"}), Flag("--resume", "run", {"default": None}))
    verb = Verb("generate", "makes one", "apps.text3d.generate:run_generate", flags, explicit=True)
    app = App("apps.text3d", "Text-to-3D.", Text3dConfig, POCKET, (verb,))
    # 400 steps are what the default file says: taken, because it was typed.
    assert app.main(["generate", "--resume", str(short), "--optimise.steps", "3"]) == 2
    assert "has taken 4" in capsys.readouterr().err
    assert app.main(["generate", "--resume", str(short), "--seed=0", "--threads", "2"]) == 2
    assert "threads (1 there, 2 now)" in capsys.readouterr().err
    assert app.main(["generate", "--resume", str(short)]) == 0
    assert read_json(short / "result.json")["steps"] == 4


def test_a_small_turntable_shows_it_on_the_way(tmp_path: Path, short: Path) -> None:
    from PIL import Image

    run = made(tmp_path, "turning", "--turntable_every=2")
    files = sorted(run.joinpath("samples").iterdir())
    assert [path.name for path in files] == ["turn-00002.gif", "turn-00004.gif"]
    with Image.open(files[1]) as turning:
        assert (turning.n_frames, turning.width) == (16, 112)
        # What the critic has shaped says so, to people and to programs.
        assert turning.height > 112
        assert b"upper bound" in turning.info["comment"]
    assert not list((short / "samples").iterdir())
    assert (run / "scene.ply").read_bytes() == (short / "scene.ply").read_bytes()
