"""`doctor` on machines that are made up: each lack is told, with what it means and what mends it."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from apps import doctor
from apps.__main__ import main
from apps.machine import GB, Machine, Torch
from apps.suite import APPS, Status


@dataclass(frozen=True)
class Fake(Machine):
    """A machine on which everything works but what a test takes away."""

    version: tuple[int, int, int] = (3, 11, 7)
    built: Torch = Torch("2.9.0", "", "12.8", (("H100", 79 * GB),), 2)  # noqa: RUF009
    free: int | None = 16 * GB
    left: int = 90 * GB
    programs: tuple[str, ...] = ("chromium", "chromedriver")
    card: str = ""
    runtime: int | str = 17
    jars: str = ""
    films: str = "/opt/ffmpeg"
    packages: tuple[str, ...] = ("carla",)
    server: str = "carla"
    closed: str = ""
    port: bool = True
    statuses: dict[str, Status] = field(default_factory=dict)
    optional: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def python(self):
        return self.version

    def torch(self):
        return self.built

    def cores(self):
        return 2

    def memory(self):
        return self.free

    def disk(self, path: Path):
        return self.left

    def which(self, *names):
        return next((one for one in names if one in self.programs), "")

    def says(self, *command):
        return self.card if command[0] == "nvidia-smi" else "Chromium 156"

    def java(self):
        return self.runtime

    def spice(self):
        return self.jars

    def ffmpeg(self):
        return self.films

    def package(self, name):
        return "1.0" if name in self.packages else ""

    def carla(self, host, port):
        return self.server, f"{self.server} on {host}:{port}"

    def hub(self):
        return self.closed

    def port_is_free(self, port):
        return self.port

    def status(self, app):
        return self.statuses.get(app, Status((), {}))

    def extras(self):
        return self.optional


def findings(machine: Machine) -> dict[str, doctor.Finding]:
    looks = doctor.examinations(machine, "127.0.0.1", 2000)
    return {one.name: one for look in looks for one in look()}


def test_a_good_machine_has_nothing_to_mend():
    found = findings(Fake())
    assert {one.state for one in found.values()} == {"works"}
    assert not any(one.fix for one in found.values())
    assert found["GPU"].means.startswith("every recipe")


@pytest.mark.parametrize(
    ("lack", "name", "state", "fix"),
    [
        ({"version": (3, 9, 1)}, "Python", "missing", "3.10"),
        ({"version": (3, 13, 0)}, "Python", "limited", "3.12"),
        ({"built": Torch(error="no module")}, "torch", "missing", "pip install"),
        ({"built": Torch("2.9", "", "", (), 2)}, "GPU", "missing", "where there is a GPU"),
        ({"built": Torch("2.9", "", "", (), 2), "card": "RTX 4090"}, "GPU", "limited", "pytorch.org"),
        ({"free": 1 * GB}, "memory", "limited", "end other work"),
        ({"left": 1 * GB}, "disk", "limited", "old runs"),
        ({"runtime": "there is no Java"}, "Java", "missing", "apt install openjdk"),
        ({"runtime": 7}, "Java", "limited", "apt install openjdk"),
        ({"jars": "no stanford.jar"}, "Java", "limited", "no stanford.jar"),
        ({"films": ""}, "ffmpeg", "missing", "pip install 'imageio[ffmpeg]'"),
        ({"programs": ("chromium",)}, "Chromium", "missing", "apt install chromium"),
        ({"port": False}, "port 7860", "limited", "--port 7861"),
        ({"packages": ()}, "CARLA client", "missing", "touchstone-rl[driving]"),
        ({"server": "silent"}, "CARLA server", "missing", "CarlaUE4"),
        ({"closed": "no connection"}, "hub", "missing", "name their folders"),
        ({"statuses": {"medvqa": Status(("pint>=0.24",), {})}}, "medvqa", "missing", "touchstone-rl[medvqa]"),
        ({"statuses": {"text3d": Status((), {"a": "make it"})}}, "text3d", "limited", "make it"),
        ({"optional": {"gguf": ("gguf>=0.10",)}}, "extra gguf", "missing", "touchstone-rl[gguf]"),
    ],
)
def test_each_lack_is_told_with_what_mends_it(lack, name, state, fix):
    found = findings(Fake(**lack))
    assert found[name].state == state
    assert fix in found[name].fix
    assert {other for other, one in found.items() if one.fix} <= {name, "CARLA server"}


@pytest.mark.parametrize(("memory", "told"), [(24, "24gb"), (16, "smollm2"), (8, "pocket models")])
def test_a_smaller_gpu_is_told_what_fits(memory, told):
    assert told in findings(Fake(built=Torch("2.9", "", "12.8", (("card", memory * GB),), 2)))["GPU"].means


def test_the_exit_code_says_whether_any_app_runs(monkeypatch, capsys):
    broken = {name: Status(("torch>=2.6",), {}) for name in APPS}
    monkeypatch.setattr(doctor, "Machine", lambda seconds: Fake(statuses=broken))
    assert main(["doctor", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert {one["name"] for one in found if one["state"] == "missing"} >= set(APPS)
    monkeypatch.setattr(doctor, "Machine", lambda seconds: Fake())
    assert main(["doctor"]) == 0


def test_a_bad_address_is_wrong_usage(capsys):
    assert main(["doctor", "--carla", "somewhere"]) == 2
    assert "host:port" in capsys.readouterr().err


def test_the_real_machine_answers_every_question_and_waits_for_nobody():
    machine = Machine(0.2)
    assert machine.python()[0] == 3
    assert machine.cores() >= 1
    assert (machine.memory() or 1) > 0
    assert machine.disk(Path("/no/such/folder")) > 0
    assert machine.which("no-such-program-at-all", "python3")
    assert machine.says("no-such-program-at-all") == ""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert not machine.port_is_free(port)
        assert machine.carla("127.0.0.1", port)[0] in ("silent", "stranger")
    assert isinstance(machine.hub(), str)
