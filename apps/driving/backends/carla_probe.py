"""Who listens on a port, asked through a plain socket before the CARLA client is let near it.

The client's own calls are no way to find out (carla 0.9.16): a closed port costs its whole time-out, during which no
other Python thread runs; and an answer that is not CARLA's, for instance the greeting of an SSH server, ends the
whole process ("terminate called after throwing an instance of ... type_error").
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from dataclasses import dataclass
from typing import Literal

# msgpack-rpc request of `Client.get_server_version`: [0, 1, "version", [[false]]]; these are the client's own bytes.
QUESTION = b"\x94\x00\x01\xa7version\x91\x91\xc2"
# Start of its answer: [1, id, nil, [[1, "0.9.16"]]].
ANSWER = b"\x94\x01"
VALUE = b"\xc0\x91\x92\x01"
CONNECT_TIMEOUT = 0.08
LONGEST_ANSWER = 512


@dataclass(frozen=True)
class Listener:
    """What was found.

    Attributes:
        kind: "nobody" listens; "silent": it takes connections and says nothing; "stranger": it speaks, but not as
            CARLA does; "carla".
        version: of the CARLA server, "" where it could not be read.
        said: the first bytes of a stranger, or why nobody could be reached.
    """

    kind: Literal["nobody", "silent", "stranger", "carla"]
    version: str = ""
    said: str = ""

    def explain(self, host: str, port: int) -> str:
        """A sentence for an error message."""
        where = f"{host}:{port}"
        if self.kind == "nobody":
            return f"nothing listens on {where} ({self.said})"
        if self.kind == "silent":
            return (
                f"what listens on {where} takes connections and does not answer: "
                "a CARLA server that hangs or still loads, or another program"
            )
        if self.kind == "stranger":
            return f"the port {where} is used by another program than CARLA; it says {self.said}"
        return f"a CARLA server {self.version or 'of unknown version'} listens on {where}"


def look(host: str, port: int, answer_timeout: float) -> Listener:
    """Ask who listens; where nobody does, the answer comes within a tenth of a second.

    Args:
        answer_timeout: seconds that a listener has to answer.
    """
    # Looking up a name has no time-out of its own, so that it is waited for and not called.
    found: list[socket.socket | str] = []
    hurry = threading.Event()

    def connect() -> None:
        try:
            found.append(socket.create_connection((host, port), CONNECT_TIMEOUT))
        except OSError as error:
            found.append(error.strerror or str(error))
        if hurry.is_set() and isinstance(found[0], socket.socket):
            found[0].close()

    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(CONNECT_TIMEOUT)
    if not found:
        hurry.set()
        return Listener("nobody", said=f"no answer within {CONNECT_TIMEOUT} s")
    if isinstance(found[0], str):
        return Listener("nobody", said=found[0])
    with contextlib.closing(found[0]) as line:
        return _ask(line, answer_timeout)


def _ask(line: socket.socket, answer_timeout: float) -> Listener:
    deadline = time.monotonic() + answer_timeout
    heard = b""
    try:
        line.settimeout(answer_timeout)
        line.sendall(QUESTION)
        while len(heard) < LONGEST_ANSWER:
            left = deadline - time.monotonic()
            if left <= 0:
                break
            line.settimeout(left)
            more = line.recv(LONGEST_ANSWER)
            if not more:
                break
            heard += more
            if not ANSWER.startswith(heard[: len(ANSWER)]) or _version(heard) is not None:
                break
    except TimeoutError:
        pass
    except OSError as error:
        return Listener("stranger", said=f"nothing and hangs up ({error.strerror})")
    if heard[: len(ANSWER)] == ANSWER:
        return Listener("carla", version=_version(heard) or "")
    if heard:
        return Listener("stranger", said=repr(heard[:40]))
    if time.monotonic() < deadline:
        return Listener("stranger", said="nothing and hangs up")
    return Listener("silent")


def _version(heard: bytes) -> str | None:
    """The string in a complete answer, else None."""
    start = heard.find(VALUE)
    if start < 0:
        return None
    rest = heard[start + len(VALUE) :]
    if rest[:1] == b"\xd9" and len(rest) > 1:
        length, rest = rest[1], rest[2:]
    elif rest and rest[0] & 0xE0 == 0xA0:
        length, rest = rest[0] & 0x1F, rest[1:]
    else:
        return None
    return rest[:length].decode(errors="replace") if len(rest) >= length else None
