"""Tables name what they are of, and keep simulators apart."""

from __future__ import annotations

import pytest

from apps.driving.measures import tables
from apps.driving.measures.comparison import compare
from apps.driving.measures.evaluation_report import remark
from common.errors import UsageError
from tests.apps.driving.measures.made import episode


def drives(policy="driver"):
    return [
        episode(f"{town}-{route}", town, vehicles, seed, policy, route_completion=0.1 * (1 + route))
        for town in ("town", "village")
        for vehicles in (0, 20)
        for seed in (0, 1)
        for route in range(3)
    ]


def test_every_table_says_simulator_towns_densities_seeds_and_numbers():
    text = tables.remark([*drives(), episode("town-0", seed=5, cause="backend lost")])

    for part in ("embedded", "town, village", "Vehicles: 0, 20", "Seeds: 0, 1, 5", "6 routes", "24 episodes"):
        assert part in text
    assert "1 episodes that the simulator broke off are left out" in text


def test_a_paired_test_says_the_same():
    text = remark(compare(drives("one"), drives("two")))

    for part in ("embedded", "24 episodes", "6 routes"):
        assert part in text


def test_simulators_are_never_mixed():
    mixed = [*drives(), episode(backend="carla")]
    for made in (tables.groups, tables.remark):
        with pytest.raises(UsageError, match="carla, embedded"):
            made(mixed)


def test_groups_are_by_town_by_density_and_by_both():
    found = {(one.town, one.density): one.n for one in tables.groups(drives())}

    assert found == {
        ("all", "all"): 24,
        ("town", "all"): 12,
        ("village", "all"): 12,
        ("all", "0"): 12,
        ("all", "20"): 12,
        ("town", "0"): 6,
        ("town", "20"): 6,
        ("village", "0"): 6,
        ("village", "20"): 6,
    }


def test_one_town_and_one_density_are_named_all_the_same():
    found = [(one.town, one.density) for one in tables.groups([episode("a"), episode("b")])]

    assert found == [("all", "all"), ("town", "0")]


def test_rows_fit_their_headers():
    episodes = [*drives("one"), *drives("two")]
    found = tables.groups(episodes)
    made = [
        tables.rows_by_group(found),
        tables.rows_by_measure(found),
        tables.rows_of_vlm_rl(episodes, found),
        tables.rows_of_infractions(episodes),
        tables.rows_of_causes(episodes),
        tables.rows_of_comparison(compare(drives("one"), drives("two"))),
    ]
    for headers, rows in made:
        assert rows
        assert all(len(row) == len(headers) for row in rows)


def test_in_a_paired_test_fewer_collisions_are_better():
    hit = [("vehicle", 5.0, 1)]
    one = [episode(f"r{i}", policy="one", hits=hit) for i in range(3)]
    two = [episode(f"r{i}", policy="two") for i in range(3)]
    _, rows = tables.rows_of_comparison(compare(one, two))
    row = next(row for row in rows if row[0].startswith("collision rate"))

    assert row[3:] == [3, 0]
