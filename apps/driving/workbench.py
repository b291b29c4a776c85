"""What the demo does, without a browser: menus, a drive with its film, and what any reward pays for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from apps.driving import demo_film
from apps.driving.config import DrivingConfig
from apps.driving.demo_film import EVERY, Film, Moment
from apps.driving.drivers.load import NAMED
from apps.driving.env_config import RouteConfig, ViewConfig
from apps.driving.reward_config import RECIPE_NAMES, DecompositionConfig, IntrinsicConfig
from common.errors import UsageError
from common.files import locate

if TYPE_CHECKING:
    from apps.driving.demo_sight import Sight
    from apps.driving.drivers.base import Driver
    from apps.driving.environment.env import DrivingEnv
    from apps.driving.roads.routes import Route

MOST_VEHICLES, MOST_WALKERS, MOST_SEED = 40, 30, 1_000_000
#: Routes that are planned where a map has no fixed ones.
PLANNED = 8


@dataclass(frozen=True)
class Wish:
    """What a visitor wants to see driven; nothing is checked yet."""

    town: Any = "town"
    route: Any = ""
    policy: Any = "pocket"
    vehicles: Any = 10
    walkers: Any = 0
    seed: Any = 0


@dataclass(frozen=True)
class Paid:
    """What a reward paid for every step of a film.

    Attributes:
        recipe: its name.
        values: `(N,)`; NaN where it could not be scored.
        parts: by name, `(N,)` each.
    """

    recipe: str
    values: NDArray[np.float64]
    parts: Mapping[str, NDArray[np.float64]]


class Workbench:
    """Drives and scores on the embedded simulator.

    Args:
        config: the settings; what is driven, rules of the end, rewards.
        sight: the CLIP; None turns off all that needs one.
        blind: why there is none.
    """

    def __init__(self, config: DrivingConfig, sight: Sight | None = None, blind: str = "") -> None:
        self.config = config
        self.sight = sight
        self.blind = blind
        self.folders = tuple(config.env.routes.folders)

    def towns(self) -> dict[str, str]:
        """What can be driven on: label by name, those that were trained on first; the held-out ones say so."""
        from apps.driving.roads.library import known_maps

        trained, held = self.config.env.routes.maps, self.config.evaluate.maps
        found = {}
        known = known_maps(self.folders)
        for name in [*(name for name in trained if name in known), *(name for name in known if name not in trained)]:
            remark = " (held out from training)" if name in held and name not in trained else ""
            found[name] = f"{name}{remark}"
        return found

    def routes(self, town: Any) -> dict[str, Route]:
        """The routes of a map by name: its fixed ones, or planned ones where it has none.

        Raises:
            UsageError: there is no such map.
        """
        from apps.driving.roads.library import load_roads
        from apps.driving.roads.planner import random_routes
        from apps.driving.roads.route_files import ROUTES, evaluation_routes

        # A visitor names a map of the menu, not a file of this machine.
        roads = load_roads(_one_of("town", town, self.towns()), self.folders)
        if locate(f"{ROUTES}/{roads.name}.json").is_file():
            found = evaluation_routes(roads)
        else:
            limits = (self.config.env.routes.shortest, self.config.env.routes.longest)
            found = random_routes(roads, PLANNED, limits)
        return {route.name: route for route in found}

    def policies(self) -> dict[str, str]:
        """Who can drive: label by the name that loads it; the shipped policy, then others, newest runs first."""
        from apps.driving.drivers.trained import ENVIRONMENT, MODEL

        found = {name: f"{name} (trained, shipped)" if name == "pocket" else name for name in NAMED}
        runs = Path(self.config.runs)
        # A comparison has its runs one folder deeper.
        files = [path for depth in ("*", "*/*") for path in runs.glob(f"{depth}/{MODEL}/{ENVIRONMENT}")]
        for path in sorted(files, key=lambda file: file.stat().st_mtime, reverse=True):
            folder = path.parents[1]
            found[str(folder)] = f"trained: {folder.relative_to(runs)}"
        return found

    def recipes(self) -> list[str]:
        """Rewards that can be shown: those that look at pictures need a CLIP, and some of them thresholds for it."""
        found: list[str] = []
        for name in RECIPE_NAMES:
            try:
                self._reward(name)
            except UsageError:
                continue
            found.append(name)
        return found

    def recipe(self) -> str:
        """The configured one where it can be shown, else its nearest without a CLIP."""
        return self.config.reward.recipe if self.config.reward.recipe in self.recipes() else "vlm_rl_no_clip"

    def drive(self, wish: Wish, every: float = EVERY) -> Iterator[Moment | Film]:
        """Drive: moments while it lasts, the film at the end.

        Args:
            wish: what is driven.
            every: seconds of the clock between two moments.

        Raises:
            UsageError: a wish that cannot be fulfilled; the message says what can.
        """
        from apps.driving.backends.base import Traffic
        from apps.driving.drivers.load import load_driver

        routes, policies = self.routes(wish.town), self.policies()
        route = routes[_one_of("route", wish.route or next(iter(routes)), {name: name for name in routes})]
        policy = _one_of("policy", wish.policy, policies)
        vehicles = _whole("the number of cars", wish.vehicles, MOST_VEHICLES)
        walkers = _whole("the number of people on foot", wish.walkers, MOST_WALKERS)
        seed = _whole("the seed", wish.seed, MOST_SEED)
        driver = load_driver(policy, self.config.env)
        env = self._env(driver, wish.town)
        traffic = Traffic(vehicles, walkers)
        yield from demo_film.drive(env, driver, route, traffic, seed, policies[policy], self.sight, every)

    def score(self, film: Film, recipe: str) -> Paid:
        """What a recipe's reward pays for every step of a film.

        Raises:
            UsageError: there is no such reward, or it looks at pictures and there is no CLIP.
        """
        import torch

        reward = self._reward(recipe)
        columns: dict[str, Any] = {
            "state": {name: torch.from_numpy(values) for name, values in film.states.items()},
            "group": torch.zeros(film.steps, dtype=torch.long),
        }
        if "images" in reward.needs:
            columns["images"] = film.seen
        with torch.no_grad():
            output = reward(**columns)
        parts = {name: part.double().numpy() for name, part in output.parts.items()}
        return Paid(recipe, output.values.double().numpy(), parts)

    def _reward(self, recipe: str) -> Any:
        """The plain recipe: what learns on top of it has learnt nothing here."""
        from apps.driving.rewards import SEEING, build

        if self.sight is None and recipe in SEEING:
            raise UsageError(f"the reward {recipe} looks at pictures, and {self.blind or 'there is no CLIP'}")
        config = self.config.reward if self.sight is None else self.sight.config
        plain = replace(config.of(recipe), intrinsic=IntrinsicConfig(), decomposition=DecompositionConfig())
        return build(plain, None if self.sight is None else self.sight.clip)

    def _env(self, driver: Driver, town: str) -> DrivingEnv:
        """What the driver observes is its own, what ends the episode is the evaluation's."""
        from apps.driving.backends.choose import Simulator
        from apps.driving.drivers.base import env_of
        from apps.driving.environment.env import DrivingEnv
        from apps.driving.pocket.moments import pocket_view

        own = env_of(driver, self.config.env)
        view = self.config.env.picture if self.config.env.picture.kind == "rgb" else pocket_view()
        settings = replace(
            own,
            routes=RouteConfig(maps=[town], folders=list(self.folders), pool=1),
            # The offset is observed in units of it.
            end=replace(self.config.evaluate.end, off_route=own.end.off_route),
            picture=view if self.sight is not None else ViewConfig(),
        )
        simulator = Simulator(replace(self.config.simulator, kind="embedded"))
        return DrivingEnv(settings, simulator, render_mode="rgb_array")


def _one_of(what: str, name: Any, choices: Mapping[str, str]) -> str:
    """A name of the menu; the message about another names the labels that there are."""
    if not isinstance(name, str) or name not in choices:
        raise UsageError(f"no {what} {_short(name)!r}; there are {', '.join(choices.values())}")
    return name


def _whole(name: str, value: Any, most: int) -> int:
    """A whole number from 0 to `most`."""
    # In this order: what is not finite has no whole part, and a number of 400 digits is none that a float holds.
    if not (isinstance(value, (int, float)) and 0 <= value <= most and value == int(value)):
        raise UsageError(f"{name} is {_short(value)}; give a whole number from 0 to {most:,}")
    return int(value)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
