"""Starts a CARLA server, has it watched, and starts it again when it was lost.

Only what was started here is ever ended: the process group of that one server. A server that was there already is
attached to and left alone; for it the client's own time-outs are all the supervision there is.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from apps.driving.backends.base import BackendUnavailable
from apps.driving.backends.carla_config import ServerConfig
from apps.driving.backends.carla_probe import Listener, look
from apps.driving.backends.watchdog import Watchdog, kill_group

Look = Callable[[str, int, float], Listener]
PATIENCE = 0.05
RELEASE = 10.0
LINES_OF_LOG = 8


class Supervisor:
    """One server.

    Args:
        config: its command and limits; without a command the server is attached to.
        host, port: where it listens.
        answer_timeout: seconds that it has to say that it is CARLA.
        look: who listens on a port.
        pause: waits that many seconds.
        say: shows a line to the user.
    """

    def __init__(
        self,
        config: ServerConfig,
        host: str,
        port: int,
        answer_timeout: float = 1.0,
        *,
        look: Look = look,
        pause: Callable[[float], None] = time.sleep,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.config, self.host, self.port, self.answer_timeout = config, host, port, answer_timeout
        self._look, self._pause, self._say = look, pause, say
        self._server: _Server | None = None
        self._losses = 0
        self._reason = ""
        self._had_one = False

    @property
    def ours(self) -> bool:
        """Whether the server is started and ended here."""
        return bool(self.config.command)

    @property
    def server_id(self) -> int | None:
        """Process of the server that runs, where it is ours."""
        return self._server.process.pid if self._server is not None else None

    def ready(self) -> Listener:
        """Make sure that a server answers, and start ours where it does not run.

        Raises:
            BackendUnavailable: none answers; where nothing listens and none is ours, within a tenth of a second.
        """
        if self.ours and self._server is not None and self._server.ended():
            self.stop()
        if self.ours and self._server is None:
            return self._start()
        found = self._look(self.host, self.port, self.answer_timeout)
        if found.kind != "carla":
            raise BackendUnavailable(f"{found.explain(self.host, self.port)}; {_next_step(found)}")
        return found

    def lost(self, reason: str) -> None:
        """The server is of no use any more: end it where it is ours."""
        self._losses += 1
        self._reason = reason
        self.stop()

    def drove(self) -> None:
        """A step was driven: losses before it do not count any more."""
        self._losses = 0

    def again(self) -> Listener:
        """A server after one was lost: wait, longer each time, and try until one answers.

        Raises:
            BackendUnavailable: `retries` attempts in a row failed.
        """
        while self._losses <= self.config.retries:
            wait = self.config.backoff * 2 ** max(self._losses - 1, 0)
            self._say(f"CARLA server lost; trying again in {wait:g} s ({self._losses}/{self.config.retries})")
            self._pause(wait)
            try:
                return self.ready()
            except BackendUnavailable as error:
                self.lost(str(error))
        raise BackendUnavailable(
            f"the CARLA server did not come back after {self.config.retries} attempts; the last: {self._reason}"
        )

    @contextlib.contextmanager
    def deadline(self, seconds: float) -> Iterator[None]:
        """Have our server ended if what is done inside takes longer."""
        if self._server is None:
            yield
            return
        with self._server.watchdog.deadline(seconds):
            yield

    @property
    def fired(self) -> bool:
        """Whether the watchdog ended the server for being late."""
        return self._server is not None and self._server.watchdog.fired

    def stop(self) -> None:
        """End our server, if it runs; an attached one is left alone."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    def _start(self) -> Listener:
        found = self._look(self.host, self.port, self.answer_timeout)
        # The children of one that was just ended may hold its port for a moment longer.
        freed = time.monotonic() + (RELEASE if self._had_one else 0.0)
        while found.kind != "nobody" and time.monotonic() < freed:
            time.sleep(PATIENCE)
            found = self._look(self.host, self.port, self.answer_timeout)
        if found.kind != "nobody":
            raise BackendUnavailable(
                f"the server cannot be started: {found.explain(self.host, self.port)}; choose another carla.port, or "
                "leave carla.server.command out to drive on the server that is there"
            )
        self._server = server = _Server(self.config, self.port)
        self._had_one = True
        deadline = time.monotonic() + self.config.start_timeout
        reason = ""
        while not reason:
            found = self._look(self.host, self.port, min(self.answer_timeout, self.config.start_timeout))
            if found.kind == "carla":
                return found
            if server.ended():
                reason = "it ended by itself"
            elif time.monotonic() >= deadline:
                reason = f"it did not answer within {self.config.start_timeout:g} s: "
                reason += found.explain(self.host, self.port)
            elif found.kind == "nobody":
                time.sleep(PATIENCE)
        log = server.last_lines()
        self.stop()
        raise BackendUnavailable(f"the CARLA server {self.config.command[0]} did not start: {reason}{log}")


class _Server:
    """A server process that leads its own group, and the watchdog over it."""

    def __init__(self, config: ServerConfig, port: int) -> None:
        command = [word.replace("{port}", str(port)) for word in config.command]
        self.log: IO[bytes] = (
            Path(config.log).open("a+b") if config.log else tempfile.TemporaryFile(prefix="carla-")  # noqa: SIM115
        )
        try:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=self.log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            self.log.close()
            raise BackendUnavailable(
                f"carla.server.command cannot be run: {command[0]}: {error.strerror}; give the path of CarlaUE4.sh"
            ) from error
        self.watchdog = Watchdog(self.process.pid)
        self._end = weakref.finalize(self, _end, self.process, self.watchdog, self.log, os.getpid())

    def ended(self) -> bool:
        """Whether the process has ended. It is not reaped: until then its number, and its group's, is ours alone."""
        if not hasattr(os, "waitid"):
            return self.process.poll() is not None
        if self.process.returncode is not None:
            return True
        try:
            return os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:
            return True

    def last_lines(self) -> str:
        """What the server said last, for an error message."""
        self.log.seek(0)
        lines = self.log.read().decode(errors="replace").splitlines()[-LINES_OF_LOG:]
        return "".join(f"\n  {line}" for line in lines)

    def stop(self) -> None:
        self._end()


def _end(process: subprocess.Popen[bytes], watchdog: Watchdog, log: IO[bytes], owner: int) -> None:
    if os.getpid() != owner:
        return  # a forked copy: the server is its parent's
    if process.returncode is None:
        kill_group(process.pid)
    # The watchdog goes first: once the server is reaped, its number may be another program's.
    watchdog.dismiss()
    process.wait()
    log.close()


def _next_step(found: Listener) -> str:
    if found.kind == "nobody":
        return "start a CARLA server, set carla.server.command to have it started, or use the embedded simulator"
    if found.kind == "silent":
        return "wait for it, restart it, or set another carla.port"
    return "set carla.port to that of a CARLA server"
