"""Tables of an evaluation; each says in which simulator, where, in what traffic, with which seeds, and of how many."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apps.driving.measures.comparison import COMPARED, Comparison
from apps.driving.measures.episodes import LOST, Density, Episode, driven, one_backend
from apps.driving.measures.figures import MEASURES, OURS, VLM_RL, figures
from apps.driving.measures.scores import INFRACTIONS, PENALTIES, infractions
from apps.driving.measures.vlm_rl import collision_interval
from common.stats import Interval

#: The measures of the small table by town and density.
SHORT = ("driving_score", "route_completion", "success_rate", "collision_rate", "average_speed", "collisions_per_km")
BY_NAME = {measure.name: measure for measure in MEASURES}
EVERYWHERE, EVERYONE = "all", "all"


@dataclass(frozen=True)
class Group:
    """Some episodes of one driver.

    Attributes:
        policy: the driver.
        town: or `EVERYWHERE`.
        density: as text, or `EVERYONE`.
        n: episodes that count.
        routes: that they were driven on.
        figures: by name of the measure.
    """

    policy: str
    town: str
    density: str
    n: int
    routes: int
    figures: Mapping[str, Interval]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            **{name: getattr(self, name) for name in ("policy", "town", "density", "n", "routes")},
            "figures": {name: value.to_dict() for name, value in self.figures.items()},
        }


def groups(episodes: Sequence[Episode]) -> list[Group]:
    """By driver: everything, then each town, then each density, then each density of each town.

    Raises:
        UsageError: they were driven in several simulators.
    """
    one_backend(episodes)
    found = []
    for policy in policies(episodes):
        own = [one for one in driven(episodes) if one.policy == policy]
        towns = sorted({one.case.town for one in own})
        crowds = densities(own)
        found.append(_group(policy, EVERYWHERE, EVERYONE, own))
        if len(towns) > 1:
            found += [_group(policy, town, EVERYONE, [one for one in own if one.case.town == town]) for town in towns]
        if len(crowds) > 1 and len(towns) > 1:
            found += [
                _group(policy, EVERYWHERE, crowd.text, [one for one in own if one.density == crowd])
                for crowd in crowds
            ]
        if len(crowds) > 1 or len(towns) == 1:
            found += [
                _group(policy, town, crowd.text, part)
                for town in towns
                for crowd in crowds
                if (part := [one for one in own if one.case.town == town and one.density == crowd])
            ]
    return found


def policies(episodes: Iterable[Episode]) -> list[str]:
    """Names of the drivers, in the order in which they come."""
    return list(dict.fromkeys(one.policy for one in episodes))


def densities(episodes: Iterable[Episode]) -> list[Density]:
    """Everyone else's numbers, the emptiest first."""
    return sorted({one.density for one in episodes})


def remark(episodes: Sequence[Episode]) -> str:
    """What stands under every table.

    Raises:
        UsageError: they were driven in several simulators.
    """
    towns = sorted({one.case.town for one in episodes})
    routes = len({one.road for one in episodes})
    crowds = ", ".join(one.text for one in densities(episodes))
    seeds = ", ".join(str(seed) for seed in sorted({one.case.seed for one in episodes}))
    text = (
        f"Simulator: {one_backend(episodes)}. Towns: {', '.join(towns)}. Vehicles: {crowds}. Seeds: {seeds}. "
        f"{routes} routes; n: {len(driven(episodes))} episodes. 95 % intervals: bootstrap over routes; rates: Wilson "
        "at the effective number of episodes."
    )
    if lost := sum(one.cause == LOST for one in episodes):
        text += f" {lost} episodes that the simulator broke off are left out."
    return text


def rows_by_group(found: Sequence[Group], names: Sequence[str] = SHORT) -> tuple[list[str], list[list[Any]]]:
    """Headers and rows: one row a group, one column a measure."""
    headers = ["driver", "town", "vehicles", *(BY_NAME[name].title for name in names), "n", "routes"]
    rows = [
        [
            one.policy,
            one.town,
            one.density,
            *(BY_NAME[name].shown(one.figures[name]) for name in names),
            one.n,
            one.routes,
        ]
        for one in found
    ]
    return headers, rows


def rows_by_measure(found: Sequence[Group]) -> tuple[list[str], list[list[Any]]]:
    """Headers and rows: one row for each of our measures, one column a driver; of everything together."""
    whole = [one for one in found if (one.town, one.density) == (EVERYWHERE, EVERYONE)]
    arrows = {"higher": "↑", "lower": "↓", "": ""}
    rows = [
        [
            f"{measure.title} {arrows[measure.better]}".strip(),
            *(measure.shown(one.figures[measure.name]) for one in whole),
        ]
        for measure in OURS
    ]
    return ["measure", *(one.policy for one in whole)], [*rows, ["n", *(one.n for one in whole)]]


def rows_of_vlm_rl(episodes: Sequence[Episode], found: Sequence[Group]) -> tuple[list[str], list[list[Any]]]:
    """Headers and rows: VLM-RL's definition beside ours, for each driver."""
    beside = {
        "vlm_rl_route_completion": "route_completion",
        "vlm_rl_success_rate": "success_rate",
        "vlm_rl_collision_speed": "collision_speed",
        "vlm_rl_collisions_per_step": "collisions_per_step",
        "vlm_rl_collisions_per_km": "collisions_per_km",
    }
    rows: list[list[Any]] = []
    for one in found:
        if (one.town, one.density) != (EVERYWHERE, EVERYONE):
            continue
        for measure in VLM_RL:
            ours = BY_NAME[beside[measure.name]]
            shown = measure.shown(one.figures[measure.name]), ours.shown(one.figures[ours.name])
            rows.append([one.policy, measure.title, *shown])
        gap = collision_interval([each for each in driven(episodes) if each.policy == one.policy])
        between = BY_NAME["time_between_collisions"]
        rows.append([one.policy, "ICT, steps; ours in s", gap, between.shown(one.figures[between.name])])
    return ["driver", "measure", "as VLM-RL counts", "ours"], rows


def rows_of_infractions(episodes: Sequence[Episode]) -> tuple[list[str], list[list[Any]]]:
    """Headers and rows: kinds of infractions, what each leaves of the score, and how many each driver has."""
    names = policies(episodes)
    counted = {name: [infractions(one) for one in driven(episodes) if one.policy == name] for name in names}
    rows = []
    for kind in INFRACTIONS:
        totals = [sum(one[kind] for one in counted[name]) for name in names]
        rows.append([kind, PENALTIES.get(kind), *totals])
    return ["infraction", "leaves of the score", *names], rows


def rows_of_causes(episodes: Sequence[Episode]) -> tuple[list[str], list[list[Any]]]:
    """Headers and rows: how episodes ended, for each driver."""
    names = policies(episodes)
    causes = sorted({one.cause for one in episodes})
    rows = [[cause, *(sum(one.cause == cause and one.policy == name for one in episodes) for name in names)]
            for cause in causes]  # fmt: skip
    return ["ended by", *names], rows


def rows_of_comparison(comparison: Comparison) -> tuple[list[str], list[list[Any]]]:
    """Headers and rows of a paired test."""
    rows: list[list[Any]] = []
    for measure in COMPARED:
        test = comparison.tests[measure.name]
        gained = test.n10 if measure.better == "lower" else test.n01
        lost = test.n01 if measure.better == "lower" else test.n10
        rows.append([measure.title, measure.shown(test.difference), test.p, gained, lost])
    headers = ["measure", f"{comparison.second} - {comparison.first}", "p"]
    return [*headers, f"episodes better: {comparison.second}", comparison.first], rows


def _group(policy: str, town: str, density: str, episodes: Sequence[Episode]) -> Group:
    routes = len({one.road for one in episodes})
    return Group(policy, town, density, len(episodes), routes, figures(episodes))
