"""Between CARLA's types and those of `apps.driving.backends.base`: plain functions of plain values.

CARLA's axes are ours; its angles are degrees. The module of the client (`carla`, or the fake of it) is always an
argument.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from apps.driving.backends.base import Control, Ego, Kind, Light

# Level geometry has types "static.<folder>"; what the wheels stand on anyway is no collision.
GROUND = frozenset({"road", "roads", "roadline", "roadlines", "ground"})
# Tags of carla.CityObjectLabel, for geometry whose type says nothing.
ROAD_TAGS = frozenset({1, 24, 25})
SIDEWALK_TAG = 2


def vehicle_control(carla: Any, control: Control) -> Any:
    """A `carla.VehicleControl`, checked: CARLA itself takes NaN, infinity and throttle 2 without a word.

    Numbers outside of their range are clipped, numpy's become Python's (the client refuses `np.float32`).

    Raises:
        ValueError: a number is NaN, infinite or no single number, or throttle and brake are both above 0.
    """
    values = []
    for name in ("steer", "throttle", "brake"):
        try:
            value = float(getattr(control, name))
        except TypeError as error:
            raise ValueError(f"{name} is {getattr(control, name)!r}; it must be one number") from error
        if not math.isfinite(value):
            raise ValueError(f"{name} is {value}; it must be a finite number")
        values.append(value)
    steer, throttle, brake = min(max(values[0], -1.0), 1.0), *(min(max(value, 0.0), 1.0) for value in values[1:])
    if throttle > 0 and brake > 0:
        raise ValueError(f"throttle is {throttle} and brake is {brake}; at least one of them must be 0")
    return carla.VehicleControl(throttle=throttle, steer=steer, brake=brake, reverse=bool(control.reverse))


def transform(carla: Any, x: float, y: float, z: float, yaw: float) -> Any:
    """A `carla.Transform` from metres and radians."""
    return carla.Transform(
        carla.Location(x=float(x), y=float(y), z=float(z)), carla.Rotation(yaw=math.degrees(float(yaw)))
    )


class Box(NamedTuple):
    """An actor's box on its own axes.

    Attributes:
        x, y: of its centre, seen from the actor's origin.
        ground: height of its lowest point over the actor's origin.
        length, width: half of each.
    """

    x: float
    y: float
    ground: float
    length: float
    width: float


def box(actor: Any) -> Box:
    """The box of an actor; it does not change during an episode."""
    bounds = actor.bounding_box
    centre, extent = bounds.location, bounds.extent
    return Box(centre.x, centre.y, centre.z - extent.z, extent.x, extent.y)


class Motion(NamedTuple):
    """Where an actor is and how it moves.

    Attributes:
        x, y, z: centre of its box, on the ground.
        yaw: of its nose, in (-pi, pi].
        speed: along its nose, uphill too.
        drift: to its right.
    """

    x: float
    y: float
    z: float
    yaw: float
    speed: float
    drift: float


def motion(snapshot: Any, bounds: Box) -> Motion:
    """Read one actor's part of a `carla.WorldSnapshot`."""
    pose, velocity = snapshot.get_transform(), snapshot.get_velocity()
    place, turn = pose.location, pose.rotation
    yaw, pitch = math.radians(turn.yaw), math.radians(turn.pitch)
    cos, sin = math.cos(yaw), math.sin(yaw)
    level = math.cos(pitch)
    return Motion(
        place.x + cos * bounds.x - sin * bounds.y,
        place.y + sin * bounds.x + cos * bounds.y,
        place.z + bounds.ground,
        math.atan2(sin, cos),
        (velocity.x * cos + velocity.y * sin) * level + velocity.z * math.sin(pitch),
        velocity.y * cos - velocity.x * sin,
    )


def ego(now: Motion, before: Motion | None, seconds: float, applied: Any) -> Ego:
    """The driven car.

    Yaw rate and acceleration are differences over the step. CARLA's own angular velocity is in degrees a second in the
    server's source and in radians in the client's documentation, and its acceleration is that of the last tick alone.

    Args:
        before: a step earlier; None at the reset.
        seconds: between the two.
        applied: the `carla.VehicleControl` that the server says it applied.
    """
    rate = acceleration = 0.0
    if before is not None:
        rate = math.remainder(now.yaw - before.yaw, math.tau) / seconds
        acceleration = (now.speed - before.speed) / seconds
    return Ego(*now, rate, acceleration, float(applied.steer), float(applied.throttle), float(applied.brake))


def kind_of(type_id: str, tags: tuple[int, ...] = ()) -> Kind:
    """What an actor is, by its type and, for geometry that has no telling one, its semantic tags."""
    family, _, rest = type_id.partition(".")
    if family == "vehicle":
        return Kind.VEHICLE
    if family == "walker":
        return Kind.WALKER
    name = rest.split(".")[0].lower()
    if name in GROUND:
        return Kind.ROAD
    if name in ("sidewalk", "sidewalks"):
        return Kind.SIDEWALK
    if (family == "static" and name in ("", "unknown")) or not family:
        if SIDEWALK_TAG in tags:
            return Kind.SIDEWALK
        if tags and set(tags) <= ROAD_TAGS:
            return Kind.ROAD
    return Kind.STATIC


def light(carla: Any, state: Any) -> Light:
    """A `carla.TrafficLightState`; a light that is off holds nobody up."""
    states = carla.TrafficLightState
    return {states.Red: Light.RED, states.Yellow: Light.YELLOW, states.Green: Light.GREEN}.get(state, Light.NONE)


def town_of(map_name: str) -> str:
    """The town of a map's path: both "Carla/Maps/Town02" and "/Game/Carla/Maps/Town02_Opt" are Town02."""
    return map_name.rsplit("/", 1)[-1].removesuffix("_Opt")
