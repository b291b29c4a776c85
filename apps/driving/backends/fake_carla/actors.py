"""Actors of the fake server."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from apps.driving.backends.fake_carla.blueprints import ActorBlueprint
from apps.driving.backends.fake_carla.values import (
    BoundingBox,
    Location,
    Rotation,
    TrafficLightState,
    Transform,
    Vector3D,
    VehicleControl,
)

if TYPE_CHECKING:
    from apps.driving.backends.fake_carla.server import FakeServer

WHEELBASE = 2.9
STEERING = 0.6
PULL, BRAKES, DRAG = 4.0, 8.0, 0.1
CAR_SPEED = 6.0
CAR_BOX = ((0.0, 0.0, 0.7), (2.4, 1.0, 0.7))
WALKER_BOX = ((0.0, 0.0, 0.0), (0.2, 0.2, 0.93))


class ActorList(list["Actor"]):
    """Of actors."""

    def filter(self, wildcard_pattern: str) -> ActorList:
        """Those whose types fit a pattern of `*`."""
        return ActorList(actor for actor in self if fnmatch.fnmatch(actor.type_id, wildcard_pattern))


class Actor:
    """Something in the world."""

    semantic_tags: tuple[int, ...] = ()

    def __init__(self, server: FakeServer, number: int, blueprint: ActorBlueprint, place: Transform) -> None:
        self._server, self.id, self.type_id = server, number, blueprint.id
        self.attributes = {name: blueprint.get_attribute(name).value for name in blueprint.names()}
        self.pose, self.velocity = place, Vector3D()
        self.is_alive = True
        self.bounding_box = BoundingBox(Location(), Vector3D())

    def get_transform(self) -> Transform:
        """Where it is."""
        return self.pose

    def _check(self) -> None:
        self._server.check_up()
        if not self.is_alive:
            raise RuntimeError("trying to operate on a destroyed actor; an actor's function was called, but the actor")

    def move(self, seconds: float) -> None:
        """Go on by one tick."""


class Vehicle(Actor):
    """A car: driven by its control as a bicycle, or by a traffic manager along the lanes."""

    def __init__(self, server: FakeServer, number: int, blueprint: ActorBlueprint, place: Transform) -> None:
        super().__init__(server, number, blueprint, place)
        centre, extent = CAR_BOX
        self.bounding_box = BoundingBox(Location(*centre), Vector3D(*extent))
        self._control, self._speed = VehicleControl(), server.rolling
        self.autopilot_port: int | None = None
        self._nodes = (0, 0)
        self._along = 0.0

    def apply_control(self, control: VehicleControl) -> None:
        """From the next tick on."""
        self._check()
        self._control = control

    def get_control(self) -> VehicleControl:
        """What was applied."""
        return self._control

    def set_target_velocity(self, velocity: Vector3D) -> None:
        """At the next tick."""
        self._check()
        yaw = math.radians(self.pose.rotation.yaw)
        self._speed = velocity.x * math.cos(yaw) + velocity.y * math.sin(yaw)

    def set_target_angular_velocity(self, angular_velocity: Vector3D) -> None:
        """A bicycle does not spin."""
        self._check()

    def set_autopilot(self, enabled: bool = True, tm_port: int = 8000) -> None:
        """Give it to the traffic manager of a port."""
        self._check()
        self.autopilot_port = tm_port if enabled else None
        if self._server.roads is not None:
            place = self.pose.location
            node = int(self._server.roads.nearest(place.x, place.y, math.radians(self.pose.rotation.yaw)))
            self._nodes, self._along = (node, self._server.next_node(node)), 0.0

    def move(self, seconds: float) -> None:
        """Go on by one tick."""
        if self.autopilot_port in self._server.managers:
            self._follow(seconds)
            return
        control = self._control
        pull = PULL * control.throttle * (-1.0 if control.reverse else 1.0)
        speed = self._speed + (pull - DRAG * self._speed) * seconds
        stop = (BRAKES * control.brake + (BRAKES if control.hand_brake else 0.0)) * seconds
        speed = math.copysign(max(abs(speed) - stop, 0.0), speed)
        yaw = math.radians(self.pose.rotation.yaw)
        yaw += speed * math.tan(control.steer * STEERING) / WHEELBASE * seconds
        place = self.pose.location
        x, y = place.x + speed * math.cos(yaw) * seconds, place.y + speed * math.sin(yaw) * seconds
        self._speed = speed
        self.pose = Transform(Location(x, y, self._server.height(x, y)), Rotation(yaw=math.degrees(yaw)))
        self.velocity = Vector3D(speed * math.cos(yaw), speed * math.sin(yaw), 0.0)

    def _follow(self, seconds: float) -> None:
        roads = self._server.roads
        assert roads is not None
        self._along += CAR_SPEED * seconds
        here, ahead = self._nodes
        while True:
            step = roads.xyz[ahead] - roads.xyz[here]
            length = float(math.hypot(step[0], step[1]))
            if here == ahead or self._along < length:
                break
            self._along -= length
            here, ahead = ahead, self._server.next_node(ahead)
        self._nodes = here, ahead
        part = self._along / length if length else 0.0
        x, y, z = (float(value) for value in roads.xyz[here] + part * step)
        yaw = float(roads.yaw[here])
        self.pose = Transform(Location(x, y, z), Rotation(yaw=math.degrees(yaw)))
        speed = CAR_SPEED if length else 0.0
        self.velocity = Vector3D(speed * math.cos(yaw), speed * math.sin(yaw), 0.0)


class Walker(Actor):
    """A pedestrian, who goes straight to where the controller says."""

    def __init__(self, server: FakeServer, number: int, blueprint: ActorBlueprint, place: Transform) -> None:
        super().__init__(server, number, blueprint, place)
        centre, extent = WALKER_BOX
        self.bounding_box = BoundingBox(Location(*centre), Vector3D(*extent))
        self.goal: Location | None = None
        self.speed = 1.4

    def move(self, seconds: float) -> None:
        """Go on by one tick."""
        if self.goal is None:
            return
        place = self.pose.location
        x, y = self.goal.x - place.x, self.goal.y - place.y
        far = math.hypot(x, y)
        if far < self.speed * seconds:
            self.goal, self.velocity = None, Vector3D()
            return
        self.velocity = Vector3D(x / far * self.speed, y / far * self.speed, 0.0)
        self.pose = Transform(
            Location(place.x + self.velocity.x * seconds, place.y + self.velocity.y * seconds, place.z),
            Rotation(yaw=math.degrees(math.atan2(y, x))),
        )


class WalkerAIController(Actor):
    """Guides the walker it is attached to."""

    parent: Any = None

    def start(self) -> None:
        """The walker may be sent somewhere."""
        self._check()
        self._started = True

    def stop(self) -> None:
        """The walker stands."""
        self._server.log.append(f"stop {self.id}")
        self.parent.goal = None

    def go_to_location(self, destination: Location) -> None:
        """Send it there."""
        self._check()
        if not getattr(self, "_started", False):
            raise RuntimeError("the controller was not started")
        self.parent.goal = destination

    def set_max_speed(self, speed: float = 1.4) -> None:
        """In m/s."""
        self.parent.speed = speed


class Sensor(Actor):
    """Calls back in every tick, a collision sensor only in collisions."""

    is_listening = False
    parent: Any = None
    callback: Callable[[Any], None] | None = None

    def listen(self, callback: Callable[[Any], None]) -> None:
        """Send its data there."""
        self._check()
        self.callback, self.is_listening = callback, True

    def stop(self) -> None:
        """Send no more. What is on its way still arrives, as with a real server."""
        self._server.log.append(f"stop {self.id}")
        self.is_listening = False

    def measure(self, frame: int) -> Any:
        """Its data of a frame."""
        if not self.type_id.startswith("sensor.camera"):
            return SimpleNamespace(frame=frame)
        width, height = int(self.attributes["image_size_x"]), int(self.attributes["image_size_y"])
        # Blue shows the frame, so that a stale picture can be told.
        pixel = bytes((frame % 256, 1, 2, 255))
        return SimpleNamespace(frame=frame, width=width, height=height, raw_data=pixel * (width * height))


class TrafficLight(Actor):
    """A light and where one stops for it."""

    state = TrafficLightState.Green

    def __init__(self, server: FakeServer, number: int, stop: Transform) -> None:
        super().__init__(server, number, ActorBlueprint("traffic.traffic_light", {}), stop)

    def get_stop_waypoints(self) -> list[Any]:
        """One, for the lane it stands at."""
        return [SimpleNamespace(transform=self.pose)]


def make(server: FakeServer, number: int, blueprint: ActorBlueprint, place: Transform, parent: Actor | None) -> Actor:
    """An actor of the class that its type asks for."""
    families = {"vehicle": Vehicle, "walker": Walker, "controller": WalkerAIController, "sensor": Sensor}
    actor = families[blueprint.id.split(".")[0]](server, number, blueprint, place)
    if isinstance(actor, (Sensor, WalkerAIController)):
        actor.parent = parent
    return actor
