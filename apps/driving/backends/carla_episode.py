"""One episode on a CARLA server: what lasts from a reset to the next."""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apps.driving.backends.base import NOBODY, Actors, BackendLost, Collision, Control, Frame, Kind
from apps.driving.backends.carla_actors import Stage
from apps.driving.backends.carla_config import CarlaConfig
from apps.driving.backends.carla_convert import Box, Motion, box, ego, kind_of, motion, vehicle_control
from apps.driving.backends.carla_lights import Lights
from apps.driving.backends.carla_sensors import Sensors, SensorTimeout
from apps.driving.backends.carla_session import Session

# m/s at which a car that has been put down counts as standing.
AT_REST = 0.02
# A sensor is subscribed to while the server ticks already, so that its first data may be missed.
WARM_UP = 5


class Episode:
    """The ego, its sensors, and everyone else.

    Args:
        session: connected.
        stage: whom this episode put into the world.
        config: ticks and limits.
        tick: seconds.
    """

    def __init__(self, session: Session, stage: Stage, config: CarlaConfig, tick: float) -> None:
        self.session, self.stage, self.config, self.tick = session, stage, config, tick
        self.sensors = Sensors(tick)
        self._began = 0
        self._population = -1
        self._others: dict[int, tuple[Kind, Box]] = {}
        # As many as a step has ticks, and the one before: differences are those of a whole step.
        self._motions: deque[Motion] = deque(maxlen=config.ticks + 1)

    def begin(self, car: Any, lights: Lights, speed: float, rng: np.random.Generator) -> Frame:
        """Let the car settle with its brake on, give it its speed, and tell the first frame.

        Args:
            car: the ego.
            lights: on its route.
            speed: at the start, in m/s.
            rng: of the episode.
        """
        carla = self.stage.carla
        self._car, self._lights, self._box = car, lights, box(car)
        car.apply_control(vehicle_control(carla, Control(brake=1.0)))
        snapshot = self.session.tick()
        self.stage.start_walkers(rng)
        for _ in range(self.config.settle_ticks):
            if self._at_rest(snapshot):
                break
            snapshot = self.session.tick()
        else:
            self._push(0.0)
            snapshot = self.session.tick()
        snapshot, camera = self._warm_up(snapshot)
        car.apply_control(carla.VehicleControl())
        if speed:
            self._push(speed)
            snapshot = self.session.tick()
            _, camera = self.sensors.take(snapshot.frame, self.config.sensor_timeout)
        self._began = snapshot.frame
        self.sensors.collisions.begin(snapshot.frame)
        return self._tell(snapshot, self._move(snapshot), None, (), camera)

    def go_on(self, control: Any) -> Frame:
        """One step.

        Args:
            control: a `carla.VehicleControl`.
        """
        self._car.apply_control(control)
        for _ in range(self.config.ticks):
            snapshot = self.session.tick()
            now = self._move(snapshot)
        collisions, camera = self.sensors.take(snapshot.frame, self.config.sensor_timeout)
        return self._tell(snapshot, now, self._motions[0], collisions, camera)

    def end(self) -> None:
        """Nobody listens any more, and everyone is taken out."""
        self.sensors.close()
        self.stage.clear()

    def _warm_up(self, snapshot: Any) -> tuple[Any, NDArray[np.uint8] | None]:
        """Tick until every sensor delivers; the snapshot and the picture of the tick at which they did."""
        for _ in range(WARM_UP):
            try:
                return snapshot, self.sensors.take(snapshot.frame, self.config.sensor_timeout / WARM_UP)[1]
            except SensorTimeout:
                snapshot = self.session.tick()
        return snapshot, self.sensors.take(snapshot.frame, self.config.sensor_timeout)[1]

    def _push(self, speed: float) -> None:
        carla = self.stage.carla
        forward = self._car.get_transform().get_forward_vector()
        self._car.set_target_velocity(carla.Vector3D(forward.x * speed, forward.y * speed, forward.z * speed))
        self._car.set_target_angular_velocity(carla.Vector3D(0.0, 0.0, 0.0))

    def _part(self, snapshot: Any) -> Any:
        part = snapshot.find(self._car.id)
        if part is None:
            raise BackendLost("the ego is gone from the CARLA world: another client has destroyed it")
        return part

    def _move(self, snapshot: Any) -> Motion:
        now = motion(self._part(snapshot), self._box)
        self._motions.append(now)
        self.sensors.collisions.drove(snapshot.frame, now.speed)
        return now

    def _at_rest(self, snapshot: Any) -> bool:
        velocity = self._part(snapshot).get_velocity()
        return math.sqrt(velocity.x**2 + velocity.y**2 + velocity.z**2) < AT_REST

    def _tell(
        self,
        snapshot: Any,
        now: Motion,
        before: Motion | None,
        collisions: tuple[Collision, ...],
        camera: NDArray[np.uint8] | None,
    ) -> Frame:
        light, distance = self._lights.look(now.x, now.y)
        frame = int(snapshot.frame)
        return Frame(
            frame,
            (frame - self._began) * self.tick,
            ego(now, before, self.config.ticks * self.tick, self._car.get_control()),
            self._everyone(snapshot),
            collisions,
            light,
            distance,
            camera,
        )

    def _everyone(self, snapshot: Any) -> Actors:
        # Who is there is asked for only when their number has changed; where they are stands in the snapshot.
        if len(snapshot) != self._population:
            self._population = len(snapshot)
            everyone = self.stage.world.get_actors()
            self._others = {
                actor.id: self._others.get(actor.id) or (kind_of(actor.type_id), box(actor))
                for actor in everyone
                if actor.id != self._car.id and actor.type_id.startswith(("vehicle.", "walker."))
            }
        rows = []
        for number in sorted(self._others):
            part = snapshot.find(number)
            if part is not None:
                kind, bounds = self._others[number]
                rows.append((number, kind, motion(part, bounds), bounds))
        if not rows:
            return NOBODY
        return Actors(
            np.array([number for number, *_ in rows], np.int64),
            np.array([kind for _, kind, *_ in rows], np.int8),
            np.array([(now.x, now.y, now.z, now.yaw) for *_, now, _ in rows]),
            np.array([now.speed for *_, now, _ in rows]),
            np.array([(bounds.length, bounds.width) for *_, bounds in rows]),
        )
