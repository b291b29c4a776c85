"""Plain values of the client's interface. Like the real ones they take Python's numbers only, and any of those."""

from __future__ import annotations

import math
from enum import Enum
from typing import Any


def number(value: Any) -> float:
    """As the real client: `int` and `float`, and numpy's float64, which is one; no `np.float32`."""
    if not isinstance(value, (int, float)):
        raise TypeError(f"Python argument types did not match C++ signature: {type(value).__name__}")
    return float(value)


class Vector3D:
    """Three numbers."""

    def __init__(self, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> None:
        self.x, self.y, self.z = number(x), number(y), number(z)


class Location(Vector3D):
    """A place, in metres."""


class Rotation:
    """Angles, in degrees."""

    def __init__(self, pitch: float = 0.0, yaw: float = 0.0, roll: float = 0.0) -> None:
        self.pitch, self.yaw, self.roll = number(pitch), number(yaw), number(roll)


class Transform:
    """A place and a turn."""

    def __init__(self, location: Location | None = None, rotation: Rotation | None = None) -> None:
        self.location = location or Location()
        self.rotation = rotation or Rotation()

    def get_forward_vector(self) -> Vector3D:
        """Where the nose points."""
        yaw, pitch = math.radians(self.rotation.yaw), math.radians(self.rotation.pitch)
        level = math.cos(pitch)
        return Vector3D(math.cos(yaw) * level, math.sin(yaw) * level, math.sin(pitch))


class BoundingBox:
    """Half the size, and where its centre is."""

    def __init__(self, location: Location, extent: Vector3D) -> None:
        self.location, self.extent = location, extent


class VehicleControl:
    """What the driver does; NaN and 2 are taken without a word, as by the real one."""

    def __init__(
        self,
        throttle: float = 0.0,
        steer: float = 0.0,
        brake: float = 0.0,
        hand_brake: bool = False,
        reverse: bool = False,
        manual_gear_shift: bool = False,
        gear: int = 0,
    ) -> None:
        self.throttle, self.steer, self.brake = number(throttle), number(steer), number(brake)
        self.hand_brake, self.reverse = hand_brake, reverse
        self.manual_gear_shift, self.gear = manual_gear_shift, gear


class WorldSettings:
    """Of the server; the defaults of 0.9.16."""

    def __init__(self) -> None:
        self.synchronous_mode = False
        self.no_rendering_mode = False
        self.fixed_delta_seconds: float | None = None
        self.substepping = True
        self.max_substep_delta_time = 0.01
        self.max_substeps = 10
        self.deterministic_ragdolls = False

    def copy(self) -> WorldSettings:
        """Another object with the same values."""
        other = WorldSettings()
        other.__dict__.update(self.__dict__)
        return other


class OpendriveGenerationParameters:
    """How a world is built from OpenDRIVE."""

    def __init__(self, **parameters: Any) -> None:
        self.__dict__.update(parameters)


class TrafficLightState(Enum):
    """Of a traffic light."""

    Red = 0
    Yellow = 1
    Green = 2
    Off = 3
    Unknown = 4


class DestroyActor:
    """Command of a batch."""

    def __init__(self, actor: Any) -> None:
        self.actor_id = int(getattr(actor, "id", actor))
