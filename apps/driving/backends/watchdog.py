"""Ends a server that hangs, from a process of its own.

A call of the CARLA client that waits for a server holds the interpreter's lock (carla 0.9.16: another thread runs one
loop in two seconds), so no thread of the driving process can watch it. This file is both: the handle, and, run as a
script, the other process; it needs nothing but the standard library.

On its standard input it reads lines: a number arms it with that many seconds, "-" disarms it, "bye" dismisses it.
When the time is over, or its parent is gone, it kills the process group that it was given and nothing else.
"""

from __future__ import annotations

import contextlib
import os
import queue
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import IO, cast

FIRED, SAID = 3, b"!"
# Forked copies of the parent hold its end of the pipe, so that its end alone does not show that it has gone.
LOOK_FOR_PARENT = 1.0


def kill_group(group: int) -> None:
    """Kill a process group that was started by us with `start_new_session`; it may be gone already."""
    if sys.platform == "win32":
        subprocess.run(["taskkill", "/F", "/T", "/PID", str(group)], capture_output=True, check=False)
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


class Watchdog:
    """The process that watches over one process group.

    Args:
        group: id of the process group, which is that of the process that leads it.
    """

    def __init__(self, group: int) -> None:
        self.group = group
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__, str(group), str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the driving process
        )
        self._line = cast(IO[bytes], self.process.stdin)
        self._words = cast(IO[bytes], self.process.stdout)
        self._fired = False

    @contextlib.contextmanager
    def deadline(self, seconds: float) -> Iterator[None]:
        """What is done inside must be done within so many seconds."""
        self._say(f"{seconds:.6f}\n")
        try:
            yield
        finally:
            self._say("-\n")

    @property
    def fired(self) -> bool:
        """Whether it has killed the server for being late."""
        # It says so before it kills: a call that the kill ends must not come back to find that nothing happened.
        if sys.platform == "win32":
            return self.process.poll() == FIRED
        if not self._fired and not self._words.closed:
            self._fired = bool(select.select([self._words], [], [], 0)[0]) and self._words.read(1) == SAID
        return self._fired

    def dismiss(self) -> None:
        """End the watchdog without ending what it watches; calling it again does nothing."""
        self._say("bye\n")
        with contextlib.suppress(OSError):
            self._line.close()
        self.process.wait()
        # What it said last is still in the pipe.
        self._fired = self.fired
        self._words.close()

    def _say(self, word: str) -> None:
        # The watchdog ends when it has fired; nobody listens then.
        with contextlib.suppress(OSError, ValueError):
            self._line.write(word.encode())
            self._line.flush()


def watch(group: int, parent: int) -> int:
    """The other process: obey the lines on standard input until dismissed; its exit code."""
    words: queue.SimpleQueue[str] = queue.SimpleQueue()

    def listen() -> None:
        for line in sys.stdin:
            words.put(line.strip())
        words.put("gone")

    threading.Thread(target=listen, daemon=True).start()
    due: float | None = None
    while True:
        left = LOOK_FOR_PARENT if due is None else min(LOOK_FOR_PARENT, max(due - time.monotonic(), 0.0))
        try:
            word = words.get(timeout=left)
        except queue.Empty:
            word = "late" if due is not None and time.monotonic() >= due else ""
        if sys.platform != "win32" and os.getppid() != parent:
            word = "gone"
        if word == "bye":
            return 0
        if word in ("late", "gone"):
            if word == "late":
                with contextlib.suppress(OSError):
                    os.write(1, SAID)
            kill_group(group)
            return FIRED if word == "late" else 0
        if word == "-":
            due = None
        elif word:
            due = time.monotonic() + float(word)


if __name__ == "__main__":
    code = watch(int(sys.argv[1]), int(sys.argv[2]))
    # A thread that waits for standard input would hold up the interpreter's end.
    os._exit(code)
