"""Films: what goes in comes out, and what was filmed before a failure is kept."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from apps.driving.recording import Gif, Mp4, Recording, contact_sheet, open_recorder
from common.errors import UsageError


def frame(number, size=64):
    """A grey of its own for each number."""
    return np.full((size, size, 3), number % 256, np.uint8)


def shades(frames):
    return [int(np.asarray(one)[0, 0, 0]) for one in frames]


def test_a_gif_has_every_frame_while_there_are_few(tmp_path):
    gif = Gif(tmp_path / "a.gif", fps=10.0, most=20)
    for number in range(0, 200, 20):
        gif.add(frame(number))
    with Image.open(gif.close()) as opened:
        assert opened.n_frames == 10
        assert opened.info["duration"] == 100


@pytest.mark.parametrize("count", [21, 50, 333])
def test_a_long_gif_keeps_few_frames_evenly_and_its_last_one(count):
    gif = Gif(most=20)
    for number in range(count):
        gif.add(np.full((8, 8, 3), (number // 256, number % 256, 0), np.uint8))
    numbers = [int(np.asarray(one)[0, 0] @ np.array([256, 1, 0])) for one in gif.pictures()]

    assert len(numbers) <= 22
    assert (numbers[0], numbers[-1]) == (0, count - 1)
    assert set(np.diff(numbers[:-1])) == {gif.stride}


def test_a_long_gif_runs_in_the_time_of_the_drive(tmp_path):
    gif = Gif(tmp_path / "a.gif", fps=10.0, most=10)
    for number in range(80):
        gif.add(np.full((8, 8, 3), (number, 255 - number, 3 * number), np.uint8))
    gif.close()
    with Image.open(tmp_path / "a.gif") as opened:
        length = 0
        for place in range(opened.n_frames):
            opened.seek(place)
            length += opened.info["duration"]

    assert length == pytest.approx(8000, abs=1600)


def test_frames_are_made_smaller_where_asked():
    gif = Gif(size=16)
    gif.add(frame(7))

    assert gif.pictures()[0].size == (16, 16)


def test_equal_frames_give_equal_bytes():
    made = []
    for _ in range(2):
        gif = Gif()
        for number in range(5):
            gif.add(frame(50 * number))
        made.append(gif.encoded())

    assert made[0] == made[1]
    assert Image.open(io.BytesIO(made[0])).n_frames == 5


def test_what_is_small_keeps_its_colour():
    gif, picture = Gif(), np.full((200, 200, 3), (38, 50, 44), np.uint8)
    picture[:, 90:110] = (58, 110, 165)
    picture[150:160, 97:103] = (70, 200, 110)
    for _ in range(3):
        gif.add(picture)
    found = np.asarray(Image.open(io.BytesIO(gif.encoded())).convert("RGB")).astype(int)

    for row, column in ((5, 5), (50, 100), (155, 100)):
        assert np.abs(found[row, column] - picture[row, column]).max() <= 8


def test_an_mp4_has_every_frame_in_its_order(tmp_path):
    imageio = pytest.importorskip("imageio.v3")
    pytest.importorskip("imageio_ffmpeg")
    film = Mp4(tmp_path / "sub" / "a.mp4", fps=10.0)
    for number in range(0, 250, 10):
        film.add(frame(number, 65))
    path = film.close()
    found = imageio.imread(path)

    assert found.shape == (25, 64, 64, 3)
    assert found[:, 0, 0, 0].astype(int).tolist() == pytest.approx(list(range(0, 250, 10)), abs=6)
    assert sorted(one.name for one in path.parent.iterdir()) == ["a.mp4"]


@pytest.mark.parametrize("name", ["a.gif", "a.mp4"])
def test_a_film_is_kept_when_something_fails(tmp_path, name):
    pytest.importorskip("imageio_ffmpeg")
    recording = Recording(open_recorder(tmp_path / name))

    def film():
        with recording:
            for number in range(3):
                recording.recorder.add(frame(50 * number))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        film()

    assert recording.path == tmp_path / name
    assert recording.path.stat().st_size > 0


@pytest.mark.parametrize("name", ["a.gif", "a.mp4"])
def test_without_a_frame_there_is_no_film(tmp_path, name):
    pytest.importorskip("imageio_ffmpeg")
    assert open_recorder(tmp_path / name).close() is None
    assert not (tmp_path / name).exists()


def test_other_files_are_refused():
    with pytest.raises(UsageError, match=r"\.mp4 or a \.gif"):
        open_recorder("a.avi")
    with pytest.raises(UsageError, match="does not move"):
        Gif(most=1)


def test_a_contact_sheet_shows_first_and_last_of_every_drive():
    rows = [[Image.fromarray(frame(10 * number)) for number in range(count)] for count in (9, 3)]
    sheet = np.asarray(contact_sheet([*rows, []], columns=3, size=10, gap=2))

    assert sheet.shape == (22, 34, 3)
    assert [int(sheet[5, column, 0]) for column in (5, 17, 29)] == [0, 40, 80]
    assert [int(sheet[17, column, 0]) for column in (5, 17, 29)] == [0, 10, 20]


def test_a_contact_sheet_of_one_frame_repeats_it():
    sheet = np.asarray(contact_sheet([[Image.fromarray(frame(9))]], columns=2, size=4))
    assert (sheet[:, 0, 0] == 9).all()
    assert (sheet[:, -1, 0] == 9).all()


def test_a_contact_sheet_of_nothing_is_refused():
    with pytest.raises(ValueError, match="needs a frame"):
        contact_sheet([[]])
