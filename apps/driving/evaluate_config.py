"""What can be set about evaluations; nothing here imports anything heavy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from apps.driving.backends.backend_config import BackendConfig
from apps.driving.env_config import EndConfig, EnvConfig
from apps.driving.reward_config import RewardConfig


@dataclass
class EvaluateConfig:
    """What drivers are evaluated on. All of a table are under the same rules, whatever they were trained under.

    Attributes:
        maps: names of maps, or paths of `.xodr` and `.npz` files.
        routes: `evaluation` for the fixed routes that come with the maps, `planned` for ten that are planned on each
            map with a fixed seed, or a route file.
        routes_per_map: the first so many of them; 0 takes all.
        vehicles: traffic densities: each route is driven with each of these numbers of other cars.
        walkers: pedestrians in every episode.
        parked: standing cars in every episode.
        seeds: each route is driven in each density with each of these.
        end: when an episode ends. VLM-RL's evaluation goes on off the route and above the top speed:
            `end_off_route: false, top_speed: 0`.
        processes: episodes that are driven at the same time.
        show: episodes of each driver whose frames are shown: `first`, `best`, `worst`.
        frame: height and width of a shown frame, in pixels.
        frames: of a moving picture at most; longer episodes show every second one, every fourth, ...
        mp4: whether the shown episodes are kept as MP4 too, with every frame.
    """

    maps: list[str] = field(default_factory=lambda: ["village"])
    routes: str = "evaluation"
    routes_per_map: int = 0
    vehicles: list[int] = field(default_factory=lambda: [0, 10, 20])
    walkers: int = 0
    parked: int = 0
    seeds: list[int] = field(default_factory=lambda: [0])
    end: EndConfig = field(default_factory=EndConfig)
    processes: int = 1
    show: list[str] = field(default_factory=lambda: ["first", "best", "worst"])
    frame: int = 288
    frames: int = 90
    mp4: bool = False


class Settings(Protocol):
    """The part of the application's settings that `evaluate` and `drive` read."""

    env: EnvConfig
    simulator: BackendConfig
    evaluate: EvaluateConfig


class DriveSettings(Settings, Protocol):
    """What `drive` reads beside them."""

    reward: RewardConfig
    seed: int
