"""What can be tried on the real client without a server: carla's own types, and listeners that stand for servers."""

from __future__ import annotations

import inspect
import math
import re
import socket
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.driving.backends.base import BackendUnavailable, Control, Light, Scenario
from apps.driving.backends.carla_backend import CarlaBackend
from apps.driving.backends.carla_config import CameraConfig, CarlaConfig, ServerConfig
from apps.driving.backends.carla_convert import Box, light, motion, transform, vehicle_control
from apps.driving.backends.carla_probe import QUESTION
from apps.driving.backends.carla_session import SETTINGS
from apps.driving.backends.fake_carla import FakeCarla, actors, blueprints, module, server, values
from tests.apps.driving.backends.fakes import (
    DT,
    GO,
    RING,
    carla_reply,
    listener,
    listener_command,
    make_world,
    ring_roads,
)
from tests.apps.driving.backends.test_carla_probe import closed_port
from tests.apps.driving.backends.test_supervisor import gone
from tests.apps.driving.small_roads import route_from

carla = pytest.importorskip("carla")

ASKER = """
import carla
client = carla.Client("127.0.0.1", int(input()))
client.set_timeout(60.0)
print(client.get_server_version())
"""


def client_version() -> str:
    return carla.Client("127.0.0.1", 1).get_client_version()


def backend(port: int, **settings) -> CarlaBackend:
    config = CarlaConfig(port=port, timeout=0.5, answer_timeout=30.0, **settings)
    return CarlaBackend(ring_roads(), config, DT, opendrive=RING, pause=lambda seconds: None)


@pytest.mark.parametrize("control", [Control(math.nan), Control(0.0, math.inf), Control(0.0, 0.0, -math.inf)])
def test_what_the_client_takes_without_a_word_is_refused(control):
    # Why: the client itself does not mind.
    taken = carla.VehicleControl(steer=control.steer, throttle=control.throttle, brake=control.brake)
    assert not all(math.isfinite(value) for value in (taken.steer, taken.throttle, taken.brake))
    with pytest.raises(ValueError, match="finite"):
        vehicle_control(carla, control)


def test_numpy_numbers_that_the_client_refuses_are_converted():
    with pytest.raises(TypeError):
        carla.VehicleControl(throttle=np.float32(0.5))
    done = vehicle_control(carla, Control(np.float32(0.25), np.float32(0.5), np.float32(0.0), np.bool_(True)))
    assert (done.steer, done.throttle, done.brake, done.reverse) == (0.25, 0.5, 0.0, True)
    for value in (np.zeros(1)[0], np.float16(0.5), np.int64(1), 1):
        vehicle_control(carla, Control(value))


@given(st.floats(-1e3, 1e3), st.floats(-10, 10), st.floats(-60, 60))
def test_the_fakes_transform_is_the_clients(yaw, x, pitch):
    made = [
        kind.Transform(kind.Location(x=x, y=1.0, z=2.0), kind.Rotation(yaw=yaw, pitch=pitch))
        for kind in (carla, values)
    ]
    real, fake = (pose.get_forward_vector() for pose in made)
    assert (real.x, real.y, real.z) == pytest.approx((fake.x, fake.y, fake.z), abs=1e-3)
    bounds = Box(0.3, -0.1, 0.2, 2.0, 1.0)
    moved = [
        motion(
            SimpleNamespace(get_transform=lambda p=p: p, get_velocity=lambda k=k: k.Vector3D(3.0, 4.0, 1.0)), bounds
        )
        for p, k in zip(made, (carla, values), strict=True)
    ]
    assert moved[0][:3] == pytest.approx(moved[1][:3], abs=1e-3)
    assert moved[0][4:] == pytest.approx(moved[1][4:], abs=1e-2)


def test_transforms_take_radians_and_numpy():
    pose = transform(carla, np.float32(1), np.float64(2), 3, np.float32(math.pi / 2))
    assert pose.rotation.yaw == pytest.approx(90.0)
    assert (pose.location.x, pose.location.y, pose.location.z) == (1.0, 2.0, 3.0)


def test_settings_can_be_set_and_set_back():
    found, settings = carla.WorldSettings(), carla.WorldSettings()
    settings.synchronous_mode, settings.fixed_delta_seconds, settings.max_substeps = True, 0.05, 16
    assert settings != found
    for name in SETTINGS:
        setattr(settings, name, getattr(found, name))
    assert settings == found
    assert {name: getattr(found, name) for name in SETTINGS} == vars(values.WorldSettings())


def test_lights_are_read():
    states = carla.TrafficLightState
    read = [light(carla, state) for state in (states.Red, states.Yellow, states.Green, states.Off, states.Unknown)]
    assert read == [Light.RED, Light.YELLOW, Light.GREEN, Light.NONE, Light.NONE]


PAIRS = [
    (module.Client, carla.Client),
    (module.World, carla.World),
    (module.Map, carla.Map),
    (module.TrafficManager, carla.TrafficManager),
    (server.Snapshot, carla.WorldSnapshot),
    (server.ActorSnapshot, carla.ActorSnapshot),
    (actors.Vehicle, carla.Vehicle),
    (actors.Walker, carla.Walker),
    (actors.WalkerAIController, carla.WalkerAIController),
    (actors.Sensor, carla.Sensor),
    (actors.TrafficLight, carla.TrafficLight),
    (blueprints.BlueprintLibrary, carla.BlueprintLibrary),
    (blueprints.ActorBlueprint, carla.ActorBlueprint),
    (blueprints.Attribute, carla.ActorAttribute),
    (actors.ActorList, carla.ActorList),
    (values.Vector3D, carla.Vector3D),
    (values.Rotation, carla.Rotation),
    (values.Transform, carla.Transform),
    (values.BoundingBox, carla.BoundingBox),
    (values.VehicleControl, carla.VehicleControl),
]
# How the fake moves and is scripted; the backend must not use these.
OF_THE_FAKE = {"move", "measure", "callback", "copy", "names"}


@pytest.mark.parametrize(("fake", "real"), PAIRS, ids=lambda kind: kind.__name__)
def test_every_method_of_the_fake_is_one_of_the_client_with_the_same_arguments(fake, real):
    own = {
        name
        for kind in fake.__mro__
        if kind.__module__.startswith("apps.driving")
        for name in vars(kind)
        if not name.startswith("_")
    }
    assert own - OF_THE_FAKE <= set(dir(real))
    for name in own - OF_THE_FAKE:
        method = getattr(fake, name, None)
        if not inspect.isfunction(method):
            continue
        # Boost's text: "tick( (World)arg1 [, (float)seconds=0.0]) -> int"; unnamed ones are arg1, arg2, ...
        named = set(re.findall(r"\)(\w+)", getattr(real, name).__doc__ or ""))
        own_names = list(inspect.signature(method).parameters)[1:]
        unnamed = {f"arg{place}" for place in range(2, len(own_names) + 2)}
        assert set(own_names) <= named or unnamed <= named, f"{name}({', '.join(own_names)}) takes {named}"


def test_every_name_of_the_fake_module_is_one_of_the_client():
    names = {name for name in dir(FakeCarla) if not name.startswith("_")}
    assert names <= set(dir(carla))
    assert vars(FakeCarla.command).keys() <= set(dir(carla.command))
    assert carla.command.DestroyActor(5).actor_id == 5


class RealValues(FakeCarla):
    """The fake server, spoken to in the real client's own types."""

    Location, Rotation, Transform, Vector3D = carla.Location, carla.Rotation, carla.Transform, carla.Vector3D
    VehicleControl, TrafficLightState = carla.VehicleControl, carla.TrafficLightState
    OpendriveGenerationParameters = carla.OpendriveGenerationParameters
    command = carla.command


def test_an_episode_in_the_clients_own_types():
    world = make_world(opendrive=RING)
    config = CarlaConfig(camera=CameraConfig(width=4, height=4))
    other = CarlaBackend(world.roads, config, DT, carla=RealValues(world.server), look=world.server.look)
    frame = other.reset(world.scenario(vehicles=3, walkers=2, parked=1, ego_speed=3.0))
    for _ in range(10):
        frame = other.step(GO)
    assert frame.ego.speed > 5
    assert len(frame.actors) == 6
    other.close()
    assert world.actors() == []
    assert world.server.complaints == []


def test_the_question_of_the_probe_is_the_clients_own(tmp_path):
    # In a process of its own, for the client lets no other thread run while it waits.
    asker = subprocess.Popen([sys.executable, "-c", ASKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with socket.create_server(("127.0.0.1", 0)) as here:
        asker.stdin.write(f"{here.getsockname()[1]}\n")
        asker.stdin.close()
        line, _ = here.accept()
        with line:
            assert line.recv(100) == QUESTION
            line.sendall(carla_reply("0.9.7"))
            assert asker.stdout.read() == "0.9.7\n"
    assert asker.wait(60) == 0
    asker.stdout.close()


def test_a_server_of_another_version_is_refused_by_the_client_itself(tmp_path):
    other = "0.9.7"
    with listener(tmp_path, carla_reply(other)) as (port, _), pytest.raises(BackendUnavailable) as caught:
        backend(port).connect()
    assert client_version() in str(caught.value)
    assert other in str(caught.value)


def test_a_server_that_falls_silent_after_its_version_is_unavailable(tmp_path):
    with listener(tmp_path, carla_reply(client_version())) as (port, process):
        with pytest.raises(BackendUnavailable, match="connecting: time-out of 500ms"):
            backend(port).connect()
        assert process.poll() is None  # it is not ours


@pytest.mark.skipif(sys.platform == "win32", reason="process groups of POSIX")
def test_our_server_that_falls_silent_is_ended_and_given_up_after_its_retries(tmp_path):
    command = listener_command(tmp_path / "server.py", carla_reply(client_version()))
    hung = backend(closed_port(), server=ServerConfig(command=command, retries=1, backoff=0.0))
    with pytest.raises(BackendUnavailable, match="time-out of 500ms"):
        hung.connect()
    assert hung.supervisor.server_id is None
    with pytest.raises(BackendUnavailable, match="did not come back after 1 attempts"):
        hung.reset(Scenario(route_from(ring_roads(), 0)))
    assert hung.supervisor.server_id is None
    hung.close()


def test_a_server_that_dies_under_a_waiting_client_ends_the_call_at_its_time_out(tmp_path):
    """The client does not notice that the connection breaks; its own time-out is what ends the call."""
    with listener(tmp_path) as (port, process):
        client = carla.Client("127.0.0.1", port)
        client.set_timeout(0.5)
        process.kill()
        process.wait()
        assert gone(process.pid)
        with pytest.raises(RuntimeError, match="time-out of 500ms"):
            client.get_server_version()


@pytest.mark.parametrize("call", ["get_world", "get_server_version", "get_available_maps", "get_trafficmanager"])
def test_every_call_without_a_server_is_a_runtime_error_that_says_time_out(call):
    client = carla.Client("127.0.0.1", closed_port())
    client.set_timeout(0.05)
    with pytest.raises(RuntimeError, match="time-out of 50ms"):
        getattr(client, call)()
