"""`doctor`: looks at this machine and says what will work here, what will not, and the command that mends it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from apps.machine import GB, Machine
from apps.suite import APPS, install, told
from common.errors import UsageError

State = Literal["works", "limited", "missing"]
#: Python's versions that everything was tested on, and the first for which CARLA has no client.
OLDEST, NEWEST, NO_CARLA = (3, 10), (3, 12), (3, 13)
#: Less free memory than this is little even for a pocket run; less free disk fills up with checkpoints.
LITTLE_MEMORY, LITTLE_DISK = 4 * GB, 2 * GB
#: Memory of the GPUs that the shipped recipes name under "Hardware".
RECIPES = (
    (80 * GB, "every recipe that names one GPU; configs/*/*.yaml say which need more of them"),
    (24 * GB, "vlm3d-qwen2.5-vl-3b-24gb, vlm-rl-carla-town02 and what needs less"),
    (16 * GB, "smollm2-135m-spider and what needs less"),
    (0, "CLIP and the pocket models"),
)
#: What the extras bring that belong to no application.
EXTRAS = {
    "sentence-transformers": "published sentence encoders in rewards",
    "postgresql": "questions to PostgreSQL databases",
    "mysql": "questions to MySQL databases",
    "gguf": "language models in GGUF files",
    "gsplat": "Gaussian splats drawn by CUDA",
    "ray": "rewards served, rows scored and environments run by Ray",
}
JAVA = "apt install openjdk-17-jre-headless"
CHROMIUM = "apt install chromium chromium-driver"


@dataclass(frozen=True)
class Finding:
    """One thing looked at.

    Attributes:
        name: what.
        state: "works"; "limited": something of it; "missing".
        found: what is there.
        means: what works with it, or does not without.
        fix: the command or the step that mends it; empty where nothing is broken.
    """

    name: str
    state: State
    found: str
    means: str
    fix: str = ""


def run_doctor(seconds: float = 2.0, carla: str = "127.0.0.1:2000", json_output: bool = False) -> int:
    """Look at everything; the exit code is 1 where no application can run.

    Args:
        seconds: time for whatever has to be waited for.
        carla: `host:port` of a CARLA server.
        json_output: print JSON.

    Raises:
        UsageError: `carla` is no address.
    """
    from common import ui

    host, _, port = carla.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise UsageError(f"--carla {carla!r}: give host:port, such as 127.0.0.1:2000")
    looks = examinations(Machine(seconds), host, int(port))
    found: list[Finding] = []
    with ui.progress("looking", len(looks), json_output) as bar:
        for number, look in enumerate(looks):
            found += look()
            bar(number + 1)
    if json_output:
        ui.print_json([asdict(one) for one in found])
    else:
        ui.table("This machine", ("", "state", "found", "what that means"), [_row(one) for one in found])
        for one in found:
            if one.fix:
                ui.say(f"{one.name}: {one.fix}")
    return 0 if any(one.state == "works" for one in found if one.name in APPS) else 1


def examinations(machine: Machine, host: str, port: int) -> list[Callable[[], Iterator[Finding]]]:
    """Every look, in the order shown; each yields what it found."""
    return [
        lambda: _python(machine),
        lambda: _torch(machine),
        lambda: _applications(machine),
        lambda: _size(machine),
        lambda: _hub(machine),
        lambda: _java(machine),
        lambda: _films(machine),
        lambda: _browser(machine),
        lambda: _carla(machine, host, port),
        lambda: _extras(machine),
    ]


def _row(one: Finding) -> tuple[str, str, str, str]:
    return one.name, one.state, one.found, one.means


def _python(machine: Machine) -> Iterator[Finding]:
    version = machine.python()
    text = ".".join(map(str, version))
    if version[:2] < OLDEST:
        yield Finding("Python", "missing", text, "nothing runs", "install Python 3.10 to 3.12 and make a new venv")
    elif version[:2] > NEWEST:
        means = "untested; CARLA's client has no wheel for it" if version[:2] >= NO_CARLA else "untested"
        yield Finding("Python", "limited", text, means, "make the venv with Python 3.10 to 3.12")
    else:
        yield Finding("Python", "works", text, "tested with it")


def _torch(machine: Machine) -> Iterator[Finding]:
    torch = machine.torch()
    cores = machine.cores()
    if not torch.version:
        yield Finding("torch", "missing", torch.error, "nothing but lists and tables runs", "pip install -e .")
        return
    build = f"{torch.version}, {f'CUDA {torch.cuda}' if torch.cuda else 'no CUDA'}"
    yield Finding("torch", "works", build, "every pocket run and test")
    if torch.gpus:
        names = ", ".join(f"{name} {memory / GB:.0f} GB" for name, memory in torch.gpus)
        largest = max(memory for _, memory in torch.gpus)
        # A card calls itself 80 GB and has 79.1 of them.
        means = next(text for memory, text in RECIPES if largest >= 0.95 * memory)
        yield Finding("GPU", "works", names, means)
    else:
        card = machine.says("nvidia-smi", "--query-gpu=name", "--format=csv,noheader")
        means = "pocket runs on the CPU; the recipes for real models only with --dry_run"
        if card:
            reason = torch.error or ("torch has no CUDA" if not torch.cuda else "torch does not see it")
            fix = "install a build of torch for the driver's CUDA, see https://pytorch.org/get-started"
            yield Finding("GPU", "limited", f"{card}, but {reason}", means, fix)
        else:
            yield Finding("GPU", "missing", "none", means, "run the recipes where there is a GPU")
    means = "a pocket run takes one core" if cores > 1 else "a pocket run takes it whole"
    yield Finding("threads", "works", f"{torch.threads} of torch on {cores} cores", means)


def _applications(machine: Machine) -> Iterator[Finding]:
    for name, app in APPS.items():
        one = machine.status(name)
        if one.packages:
            missing = f"{told(one)}: {', '.join(one.packages)}"
            yield Finding(name, "missing", missing, f"no {name}", install(name))
        elif one.models:
            means = "works with models of your own; no demo and no pocket run"
            commands = "; ".join(dict.fromkeys(one.models.values()))
            yield Finding(name, "limited", f"{told(one)}: {', '.join(one.models)}", means, commands)
        else:
            yield Finding(name, "works", "packages and pocket models", app.line)


def _size(machine: Machine) -> Iterator[Finding]:
    memory, disk = machine.memory(), machine.disk(Path("runs").absolute())
    if memory is None:
        yield Finding("memory", "limited", "unknown", "cannot be told here")
    elif memory < LITTLE_MEMORY:
        text = "a pocket run may not fit beside other work"
        yield Finding("memory", "limited", f"{memory / GB:.1f} GB free", text, "end other work")
    else:
        yield Finding("memory", "works", f"{memory / GB:.1f} GB free", "pocket runs and audits")
    if disk < LITTLE_DISK:
        text = "checkpoints may fill it"
        yield Finding("disk", "limited", f"{disk / GB:.1f} GB free", text, "remove old runs, or set --runs elsewhere")
    else:
        yield Finding("disk", "works", f"{disk / GB:.1f} GB free", "enough for pocket runs; a 7B model takes 15 GB")


def _hub(machine: Machine) -> Iterator[Finding]:
    closed = machine.hub()
    if closed:
        means = "models and data sets only from folders and from the hub's cache"
        yield Finding("hub", "missing", closed, means, "copy models here and name their folders in the config")
    else:
        yield Finding("hub", "works", "answers", "models and data sets by their hub ids")


def _java(machine: Machine) -> Iterator[Finding]:
    java = machine.java()
    if isinstance(java, str):
        yield Finding("Java", "missing", java, "no METEOR, no SPICE; captioning's other metrics", JAVA)
        return
    if java < 8:
        yield Finding("Java", "limited", f"Java {java}", "too old for METEOR and SPICE", JAVA)
        return
    closed = machine.spice()
    if closed:
        yield Finding("Java", "limited", f"Java {java}", "METEOR; no SPICE", closed)
    else:
        yield Finding("Java", "works", f"Java {java}", "METEOR and SPICE")


def _films(machine: Machine) -> Iterator[Finding]:
    path = machine.ffmpeg()
    if path:
        yield Finding("ffmpeg", "works", Path(path).name, "films of drives and turntables as MP4")
    else:
        text = "films as GIF only"
        yield Finding("ffmpeg", "missing", "no imageio-ffmpeg", text, "pip install 'imageio[ffmpeg]'")


def _browser(machine: Machine) -> Iterator[Finding]:
    browser = machine.which("chromium", "chromium-browser", "google-chrome")
    driver = machine.which("chromedriver")
    if browser and driver:
        version = machine.says(browser, "--version") or Path(browser).name
        yield Finding("Chromium", "works", version, "the tests of the demos, headless")
    else:
        absent = " and ".join(name for name, path in (("browser", browser), ("driver", driver)) if not path)
        yield Finding("Chromium", "missing", f"no {absent}", "the tests of the demos skip; demos work", CHROMIUM)
    free = machine.port_is_free(7860)
    taken = Finding("port 7860", "limited", "taken", "a demo's default address", "demo --port 7861")
    yield Finding("port 7860", "works", "free", "a demo's default address") if free else taken


def _carla(machine: Machine, host: str, port: int) -> Iterator[Finding]:
    client = machine.package("carla")
    kind, sentence = machine.carla(host, port)
    without = "driving on the embedded simulator only"
    start = "start a server (CarlaUE4.sh -RenderOffScreen), or give its address with --carla HOST:PORT"
    if not client:
        yield Finding("CARLA client", "missing", "no package carla", without, install("driving"))
    else:
        yield Finding("CARLA client", "works", client, "can drive on a CARLA server, and read .xodr files")
    if kind == "carla" and client:
        yield Finding("CARLA server", "works", sentence, "driving on CARLA: --backend carla")
    else:
        yield Finding("CARLA server", "missing", sentence, without, start if kind != "carla" else install("driving"))


def _extras(machine: Machine) -> Iterator[Finding]:
    for name, missing in machine.extras().items():
        means = EXTRAS.get(name, "optional")
        if missing:
            yield Finding(f"extra {name}", "missing", f"no {', '.join(missing)}", f"not: {means}", install(name))
        else:
            yield Finding(f"extra {name}", "works", "installed", means)
