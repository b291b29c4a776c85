"""Turntables and contact sheets, read again; names of files."""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path
from typing import Any

import imageio.v2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from apps.text3d.export.names import comment, slug
from apps.text3d.export.turntable import contact_sheet, turn, write_contact_sheet, write_video
from common.errors import UsageError
from tests.apps.text3d.export.solids import Solid, cube, sphere, union


def frames(count: int = 6, height: int = 33, width: int = 41) -> np.ndarray[Any, Any]:
    """A bright column that moves right, over grey."""
    made = np.full((count, height, width, 3), 60, np.uint8)
    for row in range(count):
        made[row, :, 5 * row : 5 * row + 5] = 250
    return made


def test_a_turn_goes_all_around() -> None:
    shown = turn(Solid(union(sphere((0.5, 0.0, 0.0), 0.25), cube((-0.5, 0.0, 0.0), 0.25))), 4, 32)
    assert shown.shape == (4, 32, 32, 3)
    assert shown.dtype == np.uint8
    # The sphere on +x is red and nearest at azimuth 0, the cube on −x blue and nearest at 180°.
    middle = shown[:, 14:20, 14:20].astype(int).mean((1, 2))
    assert middle[0, 0] > middle[0, 2] + 50
    assert middle[2, 2] > middle[2, 0] + 50
    assert (shown[:, 0, 0] == 255).all()


def test_mp4_of_odd_sides_is_made_even(tmp_path: Path) -> None:
    """Case 34."""
    path = write_video(frames(), tmp_path / "a" / "turn.mp4", 12)
    assert path == tmp_path / "a" / "turn.mp4"
    read = np.stack(imageio.v2.mimread(path, format="FFMPEG"))
    assert read.shape == (6, 34, 42, 3)
    assert [int(frame[16].astype(int).sum(1).argmax()) // 5 for frame in read] == list(range(6))
    assert [entry.name for entry in path.parent.iterdir()] == ["turn.mp4"]


def test_gif_keeps_every_frame_and_the_time(tmp_path: Path) -> None:
    still = np.repeat(frames(1), 4, 0)
    for shown, count in ((frames(), 6), (still, 4)):
        with Image.open(write_video(shown, tmp_path / "turn.gif", 10)) as image:
            assert image.size == (41, 33)
            total = 0
            for row in range(image.n_frames):
                image.seek(row)
                total += image.info["duration"]
            assert total == 100 * count
            assert image.info["loop"] == 0


@pytest.mark.parametrize("ending", [".mp4", ".gif"])
def test_a_note_stands_below_every_frame_and_in_the_file(tmp_path: Path, ending: str) -> None:
    shown = frames(3, 48, 112)
    note = "untrained demo weights: it shows nothing"
    path = write_video(shown, tmp_path / f"turn{ending}", 12, note)
    assert note.encode() in path.read_bytes()
    read = np.stack(imageio.v2.mimread(path))[..., :3]
    assert read.shape[0] == 3
    assert read.shape[2] == 112
    assert read.shape[1] > 48 + 15
    for frame in read:
        below = frame[50:].mean(-1)
        assert (below > 240).mean() > 0.5
        assert (below < 128).mean() > 0.02


@pytest.mark.parametrize("harm", ["package", "program", "failure"])
def test_without_ffmpeg_a_gif_and_a_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, harm: str
) -> None:
    def absent(*given: Any, **options: Any) -> Any:
        raise RuntimeError("no ffmpeg exe could be found")

    if harm == "package":
        monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    elif harm == "program":
        monkeypatch.setattr("imageio_ffmpeg.get_ffmpeg_exe", absent)
    else:
        monkeypatch.setattr("imageio.v2.get_writer", absent)
    with caplog.at_level(logging.WARNING):
        path = write_video(frames(), tmp_path / "turn.mp4")
    assert path == tmp_path / "turn.gif"
    assert "imageio[ffmpeg]" in caplog.text
    assert [entry.name for entry in tmp_path.iterdir()] == ["turn.gif"]


def test_an_interrupted_video_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Case 35."""
    write_video(frames(), tmp_path / "turn.mp4")
    before = (tmp_path / "turn.mp4").read_bytes()

    def interrupted(*given: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("apps.text3d.export.turntable.np.ascontiguousarray", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_video(255 - frames(), tmp_path / "turn.mp4")
    assert [entry.name for entry in tmp_path.iterdir()] == ["turn.mp4"]
    assert (tmp_path / "turn.mp4").read_bytes() == before


@pytest.mark.parametrize(
    ("shown", "name"), [(frames(), "turn.avi"), (frames(0), "turn.gif"), (frames() / 255, "turn.mp4")]
)
def test_what_is_no_turntable(tmp_path: Path, shown: Any, name: str) -> None:
    with pytest.raises(UsageError, match="a turntable"):
        write_video(shown, tmp_path / name)


class TestContactSheet:
    def test_the_prompt_stands_beside_its_views(self, tmp_path: Path) -> None:
        rows = [("a red cube", frames(3, 56, 56)), ("a very long prompt " * 12, frames(2, 56, 56))]
        path = write_contact_sheet(rows, tmp_path / "sheet.png", ["0°", "90°"], "untrained demo weights")
        with Image.open(path) as image:
            sheet = np.array(image)
        assert sheet.shape[1] == 160 + 3 * 64
        # The first view, to the pixel, beside text on white.
        top = next(
            row for row in range(sheet.shape[0] - 56) if np.array_equal(sheet[row : row + 56, 160:216], rows[0][1][0])
        )
        written = sheet[top : top + 56, :152]
        assert 0.005 < (written.mean(2) < 128).mean() < 0.3
        assert (written.mean(2) > 250).mean() > 0.6
        # A longer text makes its row higher; nothing runs into the views.
        assert sheet.shape[0] > 2 * 64 + 60
        assert (sheet[:-20, 152:160] == 255).all()

    def test_any_script_and_length(self) -> None:
        for text in ("", "x" * 300, "красный куб слева от синей сферы", "赤い立方体\n\t"):
            assert contact_sheet([(text, frames(1, 20, 20))]).size[1] >= 20

    def test_a_word_of_thousands_of_letters_is_cut_at_once(self) -> None:
        """It took seven minutes, and a sheet as high as a house."""
        began = time.process_time()
        sheet = contact_sheet([("x" * 5000, frames(1, 20, 20))])
        assert time.process_time() - began < 2
        assert 400 < sheet.size[1] < 1000

    def test_views_of_one_size(self) -> None:
        with pytest.raises(UsageError, match="one size"):
            contact_sheet([("a", frames(1, 20, 20)), ("b", frames(1, 21, 20))])
        with pytest.raises(UsageError, match="one size"):
            contact_sheet([])


class TestNames:
    """Case 38."""

    @given(st.text(max_size=80), st.text(max_size=80))
    def test_safe_short_and_distinct(self, first: str, second: str) -> None:
        names = slug(first), slug(second)
        for name in names:
            assert 0 < len(name) <= 57
            assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
            assert not name.startswith("-")
        assert (names[0] == names[1]) == (first == second)

    def test_readable(self) -> None:
        assert slug("A red cube, left of a café!").startswith("a-red-cube-left-of-a-cafe-")
        assert slug("../../etc/passwd").startswith("etc-passwd-")
        assert slug("a" * 300) != slug("a" * 301)
        assert slug("\ud800")

    @given(st.text())
    def test_comments_are_one_line(self, text: str) -> None:
        found = comment(f"{text} end_header {text}")
        assert found.isascii()
        assert found.isprintable() or not found.count("\n") + found.count("\r")
        assert "end_header" not in found


def test_a_scene_on_a_device_is_rendered_there() -> None:
    class Placed(torch.nn.Module, Solid):
        def __init__(self) -> None:
            torch.nn.Module.__init__(self)
            Solid.__init__(self, sphere())
            self.weight = torch.nn.Parameter(torch.zeros(1, device="cpu"))

    assert turn(Placed(), 2, 8).shape == (2, 8, 8, 3)
