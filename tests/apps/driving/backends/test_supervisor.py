"""Starting, watching and ending servers, with small programs that stand for them."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from apps.driving.backends.base import BackendLost, BackendUnavailable, Scenario
from apps.driving.backends.carla_backend import CarlaBackend
from apps.driving.backends.carla_config import CarlaConfig, ServerConfig
from apps.driving.backends.fake_carla import FakeCarla, FakeServer, Hang
from apps.driving.backends.supervisor import Supervisor
from apps.driving.backends.watchdog import Watchdog
from tests.apps.driving.backends.fakes import DT, GO, RING, carla_reply, listener, listener_command, ring_roads
from tests.apps.driving.backends.test_carla_probe import closed_port
from tests.apps.driving.small_roads import route_from

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="process groups of POSIX")

CARLA = carla_reply("0.9.16")
# Leads a group with a child in it, as CarlaUE4.sh does; says the child's number and waits.
FAMILY = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-S", "-c", "import signal; signal.pause()"])
print(child.pid, flush=True)
child.wait()
"""


def gone(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"


def wait_until_gone(process: int) -> None:
    """Returns when it has ended; the test's own time limit is the bound."""
    try:
        watch = os.pidfd_open(process)
    except ProcessLookupError:
        return
    assert select.select([watch], [], [], 60)[0], "the process is still there"
    os.close(watch)


def supervise(folder: Path, port: int, command: list[str] | None = None, **settings) -> Supervisor:
    pauses: list[float] = []
    config = ServerConfig(
        command=listener_command(folder / "server.py", CARLA) if command is None else command,
        **{"start_timeout": 60.0, "backoff": 0.5, **settings},
    )
    supervisor = Supervisor(config, "127.0.0.1", port, pause=pauses.append)
    supervisor.pauses = pauses
    return supervisor


@pytest.fixture
def family():
    """A process group that somebody started."""
    process = subprocess.Popen(
        [sys.executable, "-S", "-c", FAMILY], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    child = int(process.stdout.readline())
    yield process, child
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()


def test_the_watchdog_ends_the_whole_group_when_a_call_is_late(family):
    process, child = family
    watchdog = Watchdog(process.pid)
    with watchdog.deadline(0.05):
        assert process.wait(60) == -signal.SIGKILL
    wait_until_gone(child)
    watchdog.process.wait(60)
    assert watchdog.fired
    watchdog.dismiss()


def test_calls_that_are_in_time_end_nobody(family):
    process, child = family
    watchdog = Watchdog(process.pid)
    for _ in range(100):
        with watchdog.deadline(60.0):
            pass
    watchdog.dismiss()
    assert watchdog.process.returncode == 0
    assert not watchdog.fired
    assert process.poll() is None
    assert not gone(child)
    watchdog.dismiss()


def test_a_call_that_was_in_time_is_not_held_against_the_server_later(family):
    process, _ = family
    watchdog = Watchdog(process.pid)
    with watchdog.deadline(1.0):
        pass
    # Another server, whose watchdog's end shows that the first deadline is over.
    late = subprocess.Popen(["sleep", "600"], start_new_session=True)
    other = Watchdog(late.pid)
    with other.deadline(2.0):
        late.wait(60)
    other.dismiss()
    watchdog.dismiss()
    assert other.fired
    assert not watchdog.fired
    assert process.poll() is None


def test_a_call_that_fails_disarms_the_watchdog_too(family):
    process, _ = family
    watchdog = Watchdog(process.pid)
    with pytest.raises(RuntimeError), watchdog.deadline(60.0):
        raise RuntimeError
    watchdog.dismiss()
    assert not watchdog.fired
    assert process.poll() is None


def test_the_watchdog_works_while_the_drivers_interpreter_is_locked(tmp_path):
    """As in a call of the client: C code waits for the server and holds the interpreter's lock."""
    server = subprocess.Popen(
        [*listener_command(tmp_path / "mute.py")[:-1], "0"], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        port = int(server.stdout.readline())
        line = socket.create_connection(("127.0.0.1", port))
        buffer = ctypes.create_string_buffer(1)
        locked = ctypes.PyDLL(None)  # PyDLL, unlike CDLL, keeps the lock during the call
        watchdog = Watchdog(server.pid)
        with watchdog.deadline(0.2):
            count = locked.recv(line.fileno(), buffer, 1, 0)
        assert count <= 0  # the server's end broke the wait
        watchdog.process.wait(60)
        assert watchdog.fired
        watchdog.dismiss()
        line.close()
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


def test_a_step_that_hangs_in_c_code_is_a_lost_episode_and_the_next_reset_has_a_new_server(tmp_path):
    """The whole chain: a server of our own, the lock held by the hanging call, watchdog, lost episode, restart."""
    port = closed_port()
    command = listener_command(tmp_path / "server.py", CARLA)
    roads = ring_roads()
    world = FakeServer(roads, {"ring": RING}, "ring")
    config = CarlaConfig(port=port, timeout=1.0, server=ServerConfig(command=command, retries=1, backoff=0.5))
    backend = CarlaBackend(roads, config, DT, carla=FakeCarla(world), pause=lambda seconds: world.start())
    scenario = Scenario(route_from(roads, 5))
    backend.reset(scenario)
    first = backend.supervisor.server_id
    for _ in range(5):
        backend.step(GO)

    line = socket.create_connection(("127.0.0.1", port))
    line.setblocking(True)
    buffer = ctypes.create_string_buffer(1)
    world.soon(Hang(lambda: ctypes.PyDLL(None).recv(line.fileno(), buffer, 1, 0)))
    with pytest.raises(BackendLost, match="was ended, for it did not answer in time, during a step"):
        backend.step(GO)
    line.close()
    assert gone(first)
    assert backend.reset(scenario).time == 0.0
    assert backend.supervisor.server_id not in (None, first)
    backend.step(GO)
    backend.close()
    assert backend.supervisor.server_id is None


def test_a_forked_copy_does_not_end_its_parents_server(tmp_path):
    supervisor = supervise(tmp_path, closed_port())
    supervisor.ready()
    number = supervisor.server_id
    child = os.fork()
    if not child:
        supervisor.stop()
        os._exit(0)
    os.waitpid(child, 0)
    assert not gone(number)
    assert supervisor.ready().kind == "carla"
    assert supervisor.server_id == number
    supervisor.stop()


def test_a_driver_that_is_killed_takes_its_server_along(tmp_path):
    port = closed_port()
    command = listener_command(tmp_path / "server.py", CARLA)
    driver = subprocess.Popen(
        [sys.executable, "-c", f"""
import sys
from apps.driving.backends.carla_config import ServerConfig
from apps.driving.backends.supervisor import Supervisor
supervisor = Supervisor(ServerConfig(command={command!r}), "127.0.0.1", {port})
supervisor.ready()
print(supervisor.server_id, flush=True)
sys.stdin.read()
"""], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[4],
    )  # fmt: skip
    server = int(driver.stdout.readline())
    assert not gone(server)
    driver.kill()
    driver.wait()
    wait_until_gone(server)
    driver.stdin.close()
    driver.stdout.close()


def test_a_server_is_started_used_and_ended(tmp_path):
    supervisor = supervise(tmp_path, closed_port())
    assert supervisor.ours
    assert supervisor.server_id is None
    assert supervisor.ready().version == "0.9.16"
    number = supervisor.server_id
    supervisor.ready()
    assert supervisor.server_id == number
    supervisor.stop()
    assert gone(number)
    supervisor.stop()


def test_a_server_that_died_is_started_again(tmp_path):
    supervisor = supervise(tmp_path, closed_port())
    supervisor.ready()
    first = supervisor.server_id
    os.kill(first, signal.SIGKILL)
    wait_until_gone(first)
    supervisor.ready()
    assert supervisor.server_id != first
    supervisor.stop()


def test_only_what_was_started_here_is_ended(tmp_path):
    with listener(tmp_path, CARLA) as (port, process):
        attached = supervise(tmp_path, port, command=[])
        assert not attached.ours
        assert attached.ready().kind == "carla"
        with attached.deadline(0.0):
            pass
        attached.lost("it hung")
        attached.stop()
        assert not attached.fired
        # Another server of the same program runs beside it.
        own = supervise(tmp_path, closed_port())
        own.ready()
        own.lost("it hung")
        assert own.server_id is None
        assert process.poll() is None


def test_a_port_that_is_taken_is_refused_and_its_user_left_alone(tmp_path):
    with listener(tmp_path, CARLA) as (port, process):
        supervisor = supervise(tmp_path, port)
        with pytest.raises(BackendUnavailable, match=r"choose another carla\.port"):
            supervisor.ready()
        assert supervisor.server_id is None
        assert process.poll() is None


def test_a_command_that_does_not_exist_is_named(tmp_path):
    supervisor = supervise(tmp_path, closed_port(), command=[str(tmp_path / "CarlaUE4.sh")])
    with pytest.raises(BackendUnavailable, match=r"CarlaUE4\.sh.*No such file"):
        supervisor.ready()


def test_a_server_that_ends_at_once_shows_its_last_words(tmp_path):
    command = [sys.executable, "-S", "-c", "print('out of video memory on port {port}'); raise SystemExit(1)"]
    port = closed_port()
    supervisor = supervise(tmp_path, port, command=command)
    with pytest.raises(BackendUnavailable, match=rf"ended by itself\n  out of video memory on port {port}"):
        supervisor.ready()


def test_a_server_that_never_answers_is_ended(tmp_path):
    supervisor = supervise(tmp_path, closed_port(), command=listener_command(tmp_path / "mute.py"), start_timeout=0.2)
    with pytest.raises(BackendUnavailable, match="did not answer within"):
        supervisor.ready()
    assert supervisor.server_id is None


def test_restarts_wait_longer_each_time_and_end(tmp_path):
    supervisor = supervise(tmp_path, closed_port(), command=[sys.executable, "-S", "-c", ""], retries=3)
    supervisor.lost("it hung")
    with pytest.raises(BackendUnavailable, match="after 3 attempts"):
        supervisor.again()
    assert supervisor.pauses == [0.5, 1.0, 2.0]


def test_the_log_file_is_kept_where_it_is_asked_for(tmp_path):
    log = tmp_path / "carla.log"
    command = [sys.executable, "-S", "-c", "print('hello from the server')"]
    supervisor = supervise(tmp_path, closed_port(), command=command, log=str(log))
    with pytest.raises(BackendUnavailable):
        supervisor.ready()
    assert log.read_text() == "hello from the server\n"
