"""The fake server: its world, its clock and its script."""

from __future__ import annotations

import math
import threading
from collections import defaultdict, deque
from types import SimpleNamespace
from typing import Any

import numpy as np

from apps.driving.backends.carla_probe import Listener
from apps.driving.backends.fake_carla import script
from apps.driving.backends.fake_carla.actors import Actor, Sensor, TrafficLight, Vehicle, make
from apps.driving.backends.fake_carla.blueprints import ActorBlueprint
from apps.driving.backends.fake_carla.values import Location, Transform, Vector3D, WorldSettings
from apps.driving.roads.network import RoadNetwork

TOO_NEAR = 3.0
LOG = 10_000
FREE_RUN = 3


class FakeServer:
    """A server without a network: a `FakeCarla` made with it talks to it directly.

    Args:
        roads: for heights, traffic and pavements; None is a plane.
        maps: OpenDRIVE text of every town that it has.
        loaded: the town at the start.
        version: that it says it is.
        seed: of nothing but where an unseeded pedestrian goes.

    Attributes:
        settings: as they are now.
        busy_ports: that a traffic manager cannot have.
        refusals: the next so many spawns are refused.
        obstacles: x, y, radius: nothing can be spawned there.
        rolling: m/s at which a car that is put down rolls.
        pavements: whether there are places for pedestrians.
        log: what happened, oldest first: "spawn ID TYPE", "stop ID", "destroy ID", ...
        complaints: what a real server would crash or leak on.
    """

    def __init__(
        self,
        roads: RoadNetwork | None,
        maps: dict[str, str],
        loaded: str,
        version: str = "0.9.16",
        seed: int = 0,
    ) -> None:
        self.roads, self.maps, self.version = roads, dict(maps), version
        self.settings = WorldSettings()
        self.busy_ports: set[int] = set()
        self.managers: dict[int, Any] = {}
        self.refusals = 0
        self.obstacles: list[tuple[float, float, float]] = []
        self.pavements = True
        self.rolling = 0.0
        self.log: deque[str] = deque(maxlen=LOG)
        self.complaints: list[str] = []
        self.frame = 100
        self.episode = 1
        self.up = True
        self.pedestrian_rng = np.random.default_rng(seed)
        self.traffic_rng = np.random.default_rng(seed)
        self._number = 0
        self._plan: defaultdict[int, list[script.Incident]] = defaultdict(list)
        self._late: defaultdict[int, list[tuple[Sensor, Any]]] = defaultdict(list)
        self.actors: dict[int, Actor] = {}
        self.load(loaded)

    # --- for the script -------------------------------------------------------------------------------------------

    def soon(self, incident: script.Incident, ticks: int = 1) -> None:
        """Let this happen at a tick from now: 1 is the next."""
        self._plan[self.frame + ticks].append(incident)

    def start(self) -> None:
        """The server is there again, fresh, after a crash."""
        self.up = True
        self.settings = WorldSettings()
        self.actors.clear()
        self.managers.clear()
        self._late.clear()
        self._plan.clear()
        self.frame = 10
        self.episode += 1
        self._snap()

    def look(self, host: str, port: int, answer_timeout: float) -> Listener:
        """Stands for `carla_probe.look`."""
        if self.up:
            return Listener("carla", version=self.version)
        return Listener("nobody", said="Connection refused")

    def add_light(self, stop: Transform) -> TrafficLight:
        """Put up a traffic light."""
        light = TrafficLight(self, self._next(), stop)
        self.actors[light.id] = light
        return light

    # --- for the client -------------------------------------------------------------------------------------------

    def check_up(self) -> None:
        """Raise what the client raises when nobody answers."""
        if not self.up:
            raise RuntimeError("time-out of 10000ms while waiting for the simulator, make sure the simulator is ready")

    def load(self, town: str, text: str | None = None) -> None:
        """Another map: everyone is gone, and the settings are the default ones."""
        if text is not None:
            self.maps[town] = text
        self.town = town
        self.actors.clear()
        self._late.clear()
        self.settings = WorldSettings()
        self.episode += 1
        self.log.append(f"load {town}")
        self._snap()

    def spawn(self, blueprint: ActorBlueprint, place: Transform, parent: Actor | None) -> Actor | None:
        """A new actor, or None where there is no room."""
        self.check_up()
        if parent is None:
            if self.refusals > 0:
                self.refusals -= 1
                return None
            x, y = place.location.x, place.location.y
            taken = [(a.pose.location.x, a.pose.location.y, TOO_NEAR) for a in self.actors.values() if _solid(a)]
            if any(math.hypot(x - a, y - b) < radius for a, b, radius in (*taken, *self.obstacles)):
                return None
        actor = make(self, self._next(), blueprint, place, parent)
        self.actors[actor.id] = actor
        self.log.append(f"spawn {actor.id} {actor.type_id}")
        return actor

    def destroy(self, number: int) -> str:
        """Take an actor out; what went wrong, or ""."""
        self.check_up()
        actor = self.actors.pop(number, None)
        if actor is None:
            return "actor not found"
        if isinstance(actor, Sensor) and actor.is_listening:
            self.complaints.append(f"{actor.type_id} was destroyed while it listened")
        actor.is_alive = False
        self.log.append(f"destroy {number}")
        return ""

    def tick(self) -> int:
        """Go on by one tick, with everything that is planned for it."""
        self.check_up()
        planned = self._plan.pop(self.frame + 1, [])
        for incident in planned:
            if isinstance(incident, script.Hang):
                incident.wait()
        if any(isinstance(incident, (script.Crash, script.Hang)) for incident in planned):
            self.up = False
            self.check_up()
        for incident in planned:
            if isinstance(incident, script.Removed):
                for actor in [a for a in self.actors.values() if a.attributes.get("role_name") == "hero"]:
                    self.destroy(actor.id)
        self._go_on(planned)
        frame = self.frame
        for incident in planned:
            if isinstance(incident, script.DoubleTick):
                self._go_on([])
                frame = frame if incident.after else self.frame
        if any(isinstance(incident, script.TimeOut) for incident in planned):
            raise RuntimeError("time-out of 10000ms while waiting for the simulator")
        return frame

    def run_free(self) -> None:
        """A server that nobody has made synchronous does not wait."""
        if not self.settings.synchronous_mode:
            for _ in range(FREE_RUN):
                self._go_on([])

    def height(self, x: float, y: float) -> float:
        """Of the road."""
        if self.roads is None:
            return 0.0
        return float(self.roads.xyz[self.roads.tree.query((x, y))[1], 2])

    def next_node(self, node: int) -> int:
        """Where a car of the traffic manager goes on; it stays where the road ends."""
        assert self.roads is not None
        ways = self.roads.following(node)
        return int(ways[int(self.traffic_rng.integers(len(ways)))]) if len(ways) else node

    def pavement(self) -> Location | None:
        """A place for a pedestrian."""
        self.check_up()
        if not self.pavements or self.roads is None:
            return None
        node = int(self.pedestrian_rng.integers(len(self.roads)))
        aside = float(self.roads.width[node]) / 2 + 1.5
        x, y, z = (float(value) for value in self.roads.xyz[node])
        yaw = float(self.roads.yaw[node])
        return Location(x - math.sin(yaw) * aside, y + math.cos(yaw) * aside, z)

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _go_on(self, planned: list[script.Incident]) -> None:
        self.frame += 1
        seconds = self.settings.fixed_delta_seconds or 0.05
        for actor in self.actors.values():
            actor.move(seconds)
        self._snap()
        for sensor, data in self._late.pop(self.frame, []):
            _send(sensor, data)
        for sensor in [actor for actor in self.actors.values() if isinstance(actor, Sensor)]:
            self._sense(sensor, planned)

    def _sense(self, sensor: Sensor, planned: list[script.Incident]) -> None:
        if sensor.type_id.endswith("collision"):
            for incident in planned:
                if isinstance(incident, script.Collision):
                    self._collide(sensor, incident)
            return
        for incident in planned:
            if isinstance(incident, script.Extra) and sensor.type_id.endswith(incident.sensor):
                _send(sensor, sensor.measure(self.frame + incident.frames))
        data = sensor.measure(self.frame)
        for incident in planned:
            if isinstance(incident, script.Lag) and sensor.type_id.endswith(incident.sensor):
                if incident.seconds:
                    late = threading.Timer(incident.seconds, _send, (sensor, data))
                    late.daemon = True
                    late.start()
                elif incident.ticks:
                    self._late[self.frame + incident.ticks].append((sensor, data))
                return
        _send(sensor, data)

    def _collide(self, sensor: Sensor, incident: script.Collision) -> None:
        other = SimpleNamespace(id=incident.other, type_id=incident.type_id, semantic_tags=list(incident.tags))
        event = SimpleNamespace(
            frame=self.frame + incident.frames, other_actor=other, normal_impulse=Vector3D(incident.impulse)
        )
        for _ in range(incident.copies):
            if incident.late:
                self._late[self.frame + incident.late].append((sensor, event))
            else:
                _send(sensor, event)

    def _snap(self) -> None:
        self.snapshot = Snapshot(self.frame, self.actors.values())


class Snapshot:
    """Everyone at one frame."""

    def __init__(self, frame: int, actors: Any) -> None:
        self.frame = frame
        self._parts = {actor.id: ActorSnapshot(actor) for actor in actors}

    def __len__(self) -> int:
        return len(self._parts)

    def find(self, actor_id: int) -> ActorSnapshot | None:
        """The part of one actor, or None."""
        return self._parts.get(actor_id)


class ActorSnapshot:
    """One actor at one frame."""

    def __init__(self, actor: Actor) -> None:
        self.id, self._pose, self._velocity = actor.id, actor.pose, actor.velocity

    def get_transform(self) -> Transform:
        """Where it was."""
        return self._pose

    def get_velocity(self) -> Vector3D:
        """In m/s."""
        return self._velocity


def _solid(actor: Actor) -> bool:
    return isinstance(actor, Vehicle) or actor.type_id.startswith("walker.")


def _send(sensor: Sensor, data: Any) -> None:
    # A callback that was set once may be called after stop() and destroy(), as with the real client.
    if sensor.callback is not None:
        sensor.callback(data)
