"""Which simulator one gets."""

from __future__ import annotations

import sys

import pytest

from apps.driving.backends.backend_config import BackendConfig, for_worker
from apps.driving.backends.base import BackendUnavailable, Control, Scenario, Traffic
from apps.driving.backends.carla_backend import CarlaBackend
from apps.driving.backends.carla_config import CarlaConfig, ServerConfig
from apps.driving.backends.choose import make_backend
from apps.driving.backends.embedded import EmbeddedBackend
from apps.driving.roads.library import load_roads, opendrive_of
from apps.driving.roads.opendrive import digest_of
from common.errors import MissingDependency, UsageError
from tests.apps.driving.backends.fakes import GO, carla_reply, listener, ring_roads
from tests.apps.driving.backends.test_carla_probe import closed_port
from tests.apps.driving.small_roads import route_from


class Untouchable:
    """Stands for the client's module where no call of it may be made."""

    def __getattr__(self, name: str):
        raise AssertionError(f"carla.{name} was used")


def on_port(kind: str, port: int, **carla) -> BackendConfig:
    return BackendConfig(kind=kind, carla=CarlaConfig(port=port, answer_timeout=0.2, **carla))


def test_the_embedded_simulator_is_the_default():
    backend = make_backend(BackendConfig(dt=0.05, ticks=1), ring_roads(), carla=Untouchable())
    assert isinstance(backend, EmbeddedBackend)
    assert (backend.name, backend.dt, backend.ticks) == ("embedded", 0.05, 1)


def test_auto_without_a_server_is_embedded_and_says_so_without_a_call_of_the_client():
    said = []
    port = closed_port()
    backend = make_backend(on_port("auto", port), ring_roads(), carla=Untouchable(), say=said.append)
    assert isinstance(backend, EmbeddedBackend)
    assert len(said) == 1
    assert f"nothing listens on 127.0.0.1:{port}" in said[0]
    assert "embedded" in said[0]


@pytest.mark.parametrize(("reply", "says"), [(b"SSH-2.0-OpenSSH", "SSH-2.0"), (b"", "does not answer")])
def test_auto_with_another_program_on_the_port_is_embedded_and_names_it(tmp_path, reply, says):
    said = []
    with listener(tmp_path, reply) as (port, _):
        backend = make_backend(on_port("auto", port), ring_roads(), carla=Untouchable(), say=said.append)
    assert isinstance(backend, EmbeddedBackend)
    assert says in said[0]


def test_auto_with_a_carla_server_drives_there(tmp_path):
    with listener(tmp_path, carla_reply("0.9.16")) as (port, _):
        backend = make_backend(on_port("auto", port), ring_roads(), carla=Untouchable())
    assert isinstance(backend, CarlaBackend)
    assert backend.name == "carla"


@pytest.mark.parametrize(
    ("reply", "says"), [(None, "nothing listens"), (b"SSH-2.0-OpenSSH", "another program"), (b"", "does not answer")]
)
def test_carla_that_is_asked_for_and_not_there_is_an_error_without_a_call_of_the_client(tmp_path, reply, says):
    if reply is None:
        backend = make_backend(on_port("carla", closed_port()), ring_roads(), carla=Untouchable())
        with pytest.raises(BackendUnavailable, match=says):
            backend.connect()
        return
    with listener(tmp_path, reply) as (port, _):
        backend = make_backend(on_port("carla", port), ring_roads(), carla=Untouchable())
        with pytest.raises(BackendUnavailable, match=says):
            backend.connect()


def test_without_the_wheel_carla_says_what_to_install_and_auto_drives_embedded(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "carla", None)
    with pytest.raises(MissingDependency, match="carla"):
        make_backend(on_port("carla", 2000), ring_roads())
    said = []
    with listener(tmp_path, carla_reply("0.9.16")) as (port, _):
        assert isinstance(make_backend(on_port("auto", port), ring_roads(), say=said.append), EmbeddedBackend)
    assert "0.9.16 listens" in said[0]
    assert "install" in said[0]


def test_an_unknown_kind_is_refused_and_the_known_ones_are_named():
    with pytest.raises(UsageError, match="embedded, carla, auto, fake"):
        make_backend(BackendConfig(kind="carle"), ring_roads())


@pytest.mark.parametrize("dt", [0.0, -1.0, float("nan"), float("inf")])
def test_a_step_without_a_length_is_refused(dt):
    with pytest.raises(UsageError, match="dt"):
        BackendConfig(dt=dt)


def test_the_text_of_a_shipped_map_is_found_and_of_others_not():
    town = load_roads("town")
    text = opendrive_of(town)
    assert text is not None
    assert digest_of(text) == town.digest
    assert opendrive_of(ring_roads()) is None


def test_the_fake_drives_on_a_shipped_map():
    town = load_roads("town")
    backend = make_backend(BackendConfig(kind="fake"), town)
    assert backend.name == "fake"
    route = route_from(town, int(town.spawns[0]), 60)
    frame = backend.reset(Scenario(route, Traffic(vehicles=5, walkers=2), seed=1))
    for _ in range(10):
        frame = backend.step(GO)
    assert frame.ego.speed > 1
    assert len(frame.actors) == 7
    backend.close()


def test_equal_seeds_send_the_traffic_of_the_fake_the_same_ways():
    town = load_roads("town")
    backend = make_backend(BackendConfig(kind="fake"), town)
    route = route_from(town, int(town.spawns[0]), 60)

    def places(seed: int) -> bytes:
        backend.reset(Scenario(route, Traffic(vehicles=15), seed=seed))
        for _ in range(200):
            frame = backend.step(Control(brake=1.0))
        return frame.actors.poses.tobytes()

    assert places(3) == places(3)


def test_the_fake_needs_no_text_of_its_map():
    roads = ring_roads()
    backend = make_backend(BackendConfig(kind="fake"), roads)
    assert backend.reset(Scenario(route_from(roads, 5))).time == 0.0


def test_every_worker_has_a_server_of_its_own():
    config = BackendConfig(kind="carla", carla=CarlaConfig(port=3000, server=ServerConfig(log="a.log")))
    workers = [for_worker(config, rank) for rank in range(4)]
    assert workers[0] == config
    assert len({worker.carla.server.log for worker in workers}) == 4
    ports = [worker.carla.port for worker in workers]
    assert all(abs(one - other) > 2 for one in ports for other in ports if one is not other)
    assert config.carla.port == 3000
