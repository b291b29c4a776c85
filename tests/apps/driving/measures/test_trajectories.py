"""Trajectories: a panel for each density, every drive on it, failures marked."""

from __future__ import annotations

from apps.driving.measures.episodes import Episode
from apps.driving.measures.trajectories import FAILED, HIT, trajectories
from tests.apps.driving.measures.made import episode
from tests.apps.driving.small_roads import street


def drive(vehicles=0, route="a", speed=5.0, **more) -> Episode:
    track = [[float(x), 1.75, 0.0, speed] for x in range(10, 60)]
    return episode(route, "street", vehicles, track=track, **more)


def marks(axes, colour):
    return [line for line in axes.lines if line.get_color() == colour]


def test_each_density_has_its_panel_with_its_drives():
    figure = trajectories(street(), [drive(), drive(route="b"), drive(20)])
    titles = [axes.get_title(loc="left") for axes in figure.axes if axes.get_title(loc="left")]

    assert titles == ["0 vehicles, 2 drives", "20 vehicles, 1 drives"]
    assert [len(axes.collections) for axes in figure.axes[:2]] == [2, 1]


def test_the_colour_is_the_speed_in_km_h():
    figure = trajectories(street(), [drive(speed=-5.0)])

    assert figure.axes[0].collections[0].get_array().tolist() == [18.0] * len(
        figure.axes[0].collections[0].get_segments()
    )


def test_collisions_and_other_failures_are_marked_where_they_happened():
    crash = drive(hits=[("vehicle", 10.0, 21)], cause="collision with a vehicle")
    figure = trajectories(street(), [crash, drive(route="b"), drive(route="c", success=True, cause="goal")])
    axes = figure.axes[0]

    assert [line.get_xdata()[0] for line in marks(axes, HIT)] == [30.0]
    assert [line.get_xdata()[0] for line in marks(axes, FAILED)] == [59.0]


def test_a_drive_of_one_step_and_one_of_none_can_be_drawn(tmp_path):
    figure = trajectories(street(), [episode(track=[[1.0, 1.0, 0.0, 0.0]]), episode("b")])
    figure.savefig(tmp_path / "a.png")

    assert (tmp_path / "a.png").stat().st_size > 0
