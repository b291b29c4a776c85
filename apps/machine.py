"""What can be seen of this machine: one method a question, each short, none of which fails. `doctor` reads it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from apps import suite

GB = 1024**3


@dataclass(frozen=True)
class Torch:
    """The torch that is installed.

    Attributes:
        version: empty where it cannot be imported.
        error: why not.
        cuda: CUDA version that it was built for; empty for a build without.
        gpus: name and memory in bytes of each GPU that it can use.
        threads: that it computes with.
    """

    version: str = ""
    error: str = ""
    cuda: str = ""
    gpus: tuple[tuple[str, int], ...] = ()
    threads: int = 0


@dataclass(frozen=True)
class Machine:
    """This machine; a test puts another in its place.

    Attributes:
        seconds: time for whatever has to be waited for.
    """

    seconds: float = 2.0

    def python(self) -> tuple[int, int, int]:
        """Version of Python."""
        return sys.version_info[:3]

    def torch(self) -> Torch:
        """Imports torch."""
        try:
            import torch
        except (ImportError, OSError) as error:  # OSError: a build whose libraries are absent
            return Torch(error=str(error).splitlines()[0] if str(error) else type(error).__name__)
        try:
            count = torch.cuda.device_count() if torch.cuda.is_available() else 0
            gpus = [torch.cuda.get_device_properties(at) for at in range(count)]
        except RuntimeError as error:  # a driver that is too old, a GPU that is lost
            return Torch(torch.__version__, str(error), torch.version.cuda or "", (), torch.get_num_threads())
        seen = tuple((gpu.name, int(gpu.total_memory)) for gpu in gpus)
        return Torch(torch.__version__, "", torch.version.cuda or "", seen, torch.get_num_threads())

    def cores(self) -> int:
        """Cores that this process may use."""
        affinity = getattr(os, "sched_getaffinity", None)
        return len(affinity(0)) if affinity else os.cpu_count() or 1

    def memory(self) -> int | None:
        """Bytes of memory that are free for use, by the kernel and by the container's limit; None where unknown."""
        try:
            lines = Path("/proc/meminfo").read_text("ascii").splitlines()
        except OSError:
            return None
        free = next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)
        room = _cgroup_room()
        return min(one for one in (free, room) if one is not None) if free is not None else room

    def disk(self, path: Path) -> int:
        """Free bytes where `path` is, or would be."""
        while not path.exists():
            path = path.parent
        return shutil.disk_usage(path).free

    def which(self, *names: str) -> str:
        """The first of these programs that is in the search path; empty without any."""
        return next((found for name in names if (found := shutil.which(name))), "")

    def says(self, *command: str) -> str:
        """First line that a program prints; empty where it fails or takes too long."""
        try:
            done = subprocess.run(
                command, capture_output=True, stdin=subprocess.DEVNULL, timeout=10 * self.seconds, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return ""
        lines = (done.stdout or done.stderr).decode("utf-8", "replace").splitlines()
        return lines[0].strip() if done.returncode == 0 and lines else ""

    def java(self) -> int | str:
        """Java's major version, or why there is none."""
        from apps.captioning.measures.java import CannotRun, java_version

        try:
            return java_version()
        except CannotRun as error:
            return str(error)

    def spice(self) -> str:
        """Why SPICE cannot run; empty where its jars are all there."""
        from apps.captioning.measures.java import CannotRun
        from apps.captioning.measures.spice import find_jars

        try:
            find_jars()
        except CannotRun as error:
            return str(error)
        return ""

    def ffmpeg(self) -> str:
        """The ffmpeg that films are written with; empty without one."""
        if importlib.util.find_spec("imageio_ffmpeg") is None:
            return ""
        import imageio_ffmpeg

        try:
            return str(imageio_ffmpeg.get_ffmpeg_exe())
        except RuntimeError:
            return ""

    def package(self, name: str) -> str:
        """Version of an installed package; empty where it is not there."""
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            return ""

    def carla(self, host: str, port: int) -> tuple[str, str]:
        """Who listens on CARLA's port: a kind of `apps.driving.backends.carla_probe.Listener`, and a sentence."""
        from apps.driving.backends.carla_probe import look

        listener = look(host, port, self.seconds)
        return listener.kind, listener.explain(host, port)

    def hub(self) -> str:
        """Why the hub cannot be reached; empty where it can."""
        if importlib.util.find_spec("huggingface_hub") is None:
            return "huggingface_hub is not installed"
        from common.models.hub import unreachable

        # Looking up a name has no time-out of its own, so that it is waited for and not called.
        said = [f"no answer within {self.seconds:g} s"]
        thread = threading.Thread(target=lambda: said.append(unreachable(self.seconds)), daemon=True)
        thread.start()
        thread.join(self.seconds)
        return said[-1]

    def port_is_free(self, port: int) -> bool:
        """Whether a page could be served on a port of this machine."""
        with socket.socket() as line:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                line.bind(("127.0.0.1", port))
            except OSError:
                return False
        return True

    def status(self, app: str) -> suite.Status:
        """Whether an application can run."""
        return suite.status(app)

    def extras(self) -> Mapping[str, tuple[str, ...]]:
        """Of the extras that belong to no application, the packages that are missing."""
        try:
            named = metadata.metadata(suite.DISTRIBUTION).get_all("Provides-Extra") or []
        except metadata.PackageNotFoundError:
            return {}
        return {one: tuple(suite.missing_packages(one)) for one in named if one not in (*suite.APPS, "all", "dev")}


def _cgroup_room() -> int | None:
    """Bytes that are left of this container's limit; None without one."""
    try:
        folder = Path("/sys/fs/cgroup")
        limit = (folder / "memory.max").read_text("ascii").strip()
        return None if limit == "max" else int(limit) - int((folder / "memory.current").read_text("ascii"))
    except (OSError, ValueError):
        return None
