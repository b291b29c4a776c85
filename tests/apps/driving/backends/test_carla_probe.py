"""Who listens on a port, with real listeners in processes of their own."""

from __future__ import annotations

import socket

import pytest

from apps.driving.backends import carla_probe
from apps.driving.backends.carla_probe import look
from tests.apps.driving.backends.fakes import carla_reply, listener


def closed_port() -> int:
    with socket.socket() as line:
        line.bind(("127.0.0.1", 0))
        return line.getsockname()[1]


def test_nobody():
    port = closed_port()
    found = look("127.0.0.1", port, 5.0)
    assert found.kind == "nobody"
    assert f"127.0.0.1:{port}" in found.explain("127.0.0.1", port)


def test_a_host_that_does_not_answer_costs_less_than_a_tenth_of_a_second():
    # The limit is one for all that happens before somebody answers: name, connection.
    assert carla_probe.CONNECT_TIMEOUT < 0.1
    # Reserved for documentation (RFC 5737): nobody has this address.
    assert look("192.0.2.1", 2000, 5.0).kind == "nobody"
    assert look("no-such-host.invalid", 2000, 5.0).kind == "nobody"


@pytest.mark.parametrize("version", ["0.9.16", "0.9.15-12-gabcdef0", ""])
def test_carla_is_known_by_its_answer(tmp_path, version):
    with listener(tmp_path, carla_reply(version)) as (port, _):
        found = look("127.0.0.1", port, 10.0)
    assert (found.kind, found.version) == ("carla", version)


@pytest.mark.parametrize(
    "greeting", [b"SSH-2.0-OpenSSH_9.6\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x94\x00\x01"]
)
def test_another_program_is_named_by_what_it_says(tmp_path, greeting):
    with listener(tmp_path, greeting) as (port, _):
        found = look("127.0.0.1", port, 10.0)
    assert found.kind == "stranger"
    assert repr(greeting[:6])[2:-1] in found.explain("127.0.0.1", port)
    assert "another program" in found.explain("127.0.0.1", port)


def test_a_mute_listener_is_told_from_an_absent_one(tmp_path):
    with listener(tmp_path) as (port, _):
        found = look("127.0.0.1", port, 0.1)
    assert found.kind == "silent"
    assert "does not answer" in found.explain("127.0.0.1", port)


def test_one_that_hangs_up_is_a_stranger():
    server = socket.create_server(("127.0.0.1", 0))
    import threading

    def hang_up() -> None:
        line, _ = server.accept()
        line.close()

    thread = threading.Thread(target=hang_up, daemon=True)
    thread.start()
    assert look("127.0.0.1", server.getsockname()[1], 10.0).kind == "stranger"
    thread.join(10)
    server.close()


def test_an_answer_in_pieces_is_put_together():
    import threading

    server = socket.create_server(("127.0.0.1", 0))
    reply = carla_reply("0.9.16")

    def answer() -> None:
        line, _ = server.accept()
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line.recv(100)
        for byte in reply:
            line.sendall(bytes([byte]))
        line.recv(1)
        line.close()

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    found = look("127.0.0.1", server.getsockname()[1], 10.0)
    assert (found.kind, found.version) == ("carla", "0.9.16")
    thread.join(10)
    server.close()
