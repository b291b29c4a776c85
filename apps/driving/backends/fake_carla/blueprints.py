"""What actors of the fake server are made from."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator


class Attribute:
    """Of a blueprint."""

    def __init__(self, value: str, recommended: tuple[str, ...] = ()) -> None:
        self.value, self.recommended_values = value, list(recommended)

    def __int__(self) -> int:
        return int(self.value)


class ActorBlueprint:
    """What an actor is made from."""

    def __init__(self, name: str, attributes: dict[str, Attribute]) -> None:
        self.id = name
        self._attributes = attributes

    def names(self) -> list[str]:
        """Of its attributes."""
        return list(self._attributes)

    def has_attribute(self, name: str) -> bool:
        """Whether it has one of that name."""
        return name in self._attributes

    def get_attribute(self, name: str) -> Attribute:
        """The attribute."""
        return self._attributes[name]

    def set_attribute(self, name: str, value: str) -> None:
        """Only what the blueprint has can be set, and only to text, as in the real client."""
        if not isinstance(value, str):
            raise TypeError("an attribute is set to a str")
        if name not in self._attributes:
            raise RuntimeError(f"attribute '{name}' not found")
        self._attributes[name] = Attribute(value, tuple(self._attributes[name].recommended_values))


def _blueprints() -> Iterator[ActorBlueprint]:
    for name, wheels in (("tesla.model3", 4), ("audi.tt", 4), ("mini.cooper_s", 4), ("bh.crossbike", 2)):
        attributes = {"number_of_wheels": Attribute(str(wheels)), "role_name": Attribute("")}
        attributes["color"] = Attribute("0,0,0", ("0,0,0", "255,0,0", "0,0,255"))
        yield ActorBlueprint(f"vehicle.{name}", attributes)
    for number in range(3):
        yield ActorBlueprint(f"walker.pedestrian.{number:04}", {"is_invincible": Attribute("true")})
    yield ActorBlueprint("controller.ai.walker", {})
    yield ActorBlueprint("sensor.other.collision", {})
    yield ActorBlueprint("sensor.other.imu", {})
    picture = {"image_size_x": Attribute("800"), "image_size_y": Attribute("600"), "fov": Attribute("90")}
    yield ActorBlueprint("sensor.camera.rgb", picture)


class BlueprintLibrary:
    """All of them."""

    def __init__(self) -> None:
        self._all = {blueprint.id: blueprint for blueprint in _blueprints()}

    def find(self, id: str) -> ActorBlueprint:
        """The one of that name."""
        if id not in self._all:
            raise IndexError("blueprint not found")
        return self._all[id]

    def filter(self, wildcard_pattern: str) -> list[ActorBlueprint]:
        """Those whose names fit a pattern of `*`."""
        return [blueprint for blueprint in self._all.values() if fnmatch.fnmatch(blueprint.id, wildcard_pattern)]
