"""Targets that read files of instances: roads, routes, databases."""

from __future__ import annotations

import os
import pickle
import re
import signal
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from common.errors import UsageError
from common.files import locate
from tests.fuzz.harness import Target, cpu_limit
from tests.fuzz.mutations import damaged, edits, files

FOLDER = Path(tempfile.mkdtemp(prefix="touchstone-fuzz-"))
MAP = """<?xml version="1.0"?><OpenDRIVE><header name="r" revMajor="1" revMinor="4"/>
<road rule="RHT" id="1" junction="-1" length="30"><link><successor elementType="road" elementId="2" contactPoint="start"/></link>
<type s="0" type="town"><speed max="30" unit="km/h"/></type>
<planView><geometry s="0" x="0" y="0" hdg="0.1" length="20"><line/></geometry>
<geometry s="20" x="20" y="2" hdg="0.1" length="10"><arc curvature="0.04"/></geometry></planView>
<elevationProfile><elevation s="0" a="0" b="0.01" c="0" d="0"/></elevationProfile><lateralProfile/>
<lanes><laneOffset s="0" a="0" b="0" c="0" d="0"/><laneSection s="0"><center><lane id="0" type="none" level="false"/></center>
<right><lane id="-1" type="driving" level="false"><link><successor id="-1"/></link><width sOffset="0" a="3.5" b="0" c="0" d="0"/>
<roadMark sOffset="0" type="solid" color="standard" width="0.15" laneChange="none"/><speed sOffset="0" max="8"/></lane>
<lane id="-2" type="driving" level="false"><width sOffset="0" a="3.5" b="0" c="0" d="0"/></lane></right></laneSection>
<laneSection s="15"><center><lane id="0" type="none"/></center><right><lane id="-1" type="driving">
<width sOffset="0" a="3.5" b="0" c="0" d="0"/></lane></right></laneSection></lanes>
<objects><object type="crosswalk" id="1" s="5" t="0" zOffset="0" hdg="0" length="3" width="6"><outline>
<cornerLocal u="-1" v="-3" z="0"/><cornerLocal u="1" v="-3" z="0"/><cornerLocal u="1" v="3" z="0"/></outline></object></objects>
<signals><signal s="9" t="-3" id="9" name="s" dynamic="no" orientation="+" type="274" value="30" unit="km/h"/></signals></road>
<road rule="RHT" id="2" junction="7" length="12"><link><predecessor elementType="road" elementId="1" contactPoint="end"/></link>
<planView><geometry s="0" x="30" y="3" hdg="0.5" length="12"><line/></geometry></planView><lanes><laneSection s="0">
<center><lane id="0" type="none"/></center><right><lane id="-1" type="driving"><link><predecessor id="-1"/></link>
<width sOffset="0" a="3.5" b="0" c="0" d="0"/></lane></right></laneSection></lanes></road>
<junction id="7" name="j"><connection id="0" incomingRoad="1" connectingRoad="2" contactPoint="start">
<laneLink from="-1" to="-1"/></connection></junction></OpenDRIVE>"""
ROUTES = """<routes><route id="1" town="Town01"><waypoints><position x="1" y="2" z="0"/><position x="9" y="2" z="0"/></waypoints>
<scenarios><scenario name="a" type="b"/></scenarios></route><route id="2" town="Town01"><waypoint x="1" y="2" z="0"/>
<waypoint x="2" y="2" z="0"/></route></routes>"""
XML_VALUES = [
    "", "0", "-0", "1", "-1", "2", "7", "1e9", "-1e9", "1e300", "1e-300", "99999", "100000", "nan", "inf", "-inf", "x", "٣", "2147483648",
    "-2147483649", "9" * 30, "driving", "none", "&#0;", "&amp;", "&x;", "\"", "<", "1" * 5000,
]  # fmt: skip
ENTITIES = [
    '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>' + MAP,
    '<!DOCTYPE OpenDRIVE [<!ENTITY a SYSTEM "file:///etc/passwd">]><OpenDRIVE>&a;</OpenDRIVE>',
    "<OpenDRIVE>" + "<road>" * 100_000, "<OpenDRIVE " + "a='1' " * 1000 + "/>", "<OpenDRIVE/>", "<routes/>", "", "\ufeff" + MAP, "<a>" * 200_000,
    MAP.replace("utf-8", "utf-7"), MAP.replace("<road rule", "<road rule" * 2),
]  # fmt: skip


def xml(text: str) -> st.SearchStrategy[str]:
    """XML of which attributes hold other values, elements are gone or doubled."""
    spots = [match.span(1) for match in re.finditer(r'="([^"]*)"', text)]
    elements = [match.span() for match in re.finditer(r"<(\w+)[^<>]*/>|<(\w+)[^>]*>.*?</\2>", text, re.S)]

    def changed(values: list[tuple[int, str]], parts: list[tuple[int, int]]) -> str:
        done = [(*spots[at % len(spots)], value) for at, value in values]
        done += [
            (*elements[at % len(elements)], text[slice(*elements[at % len(elements)])] * times) for at, times in parts
        ]
        made, edge = text, len(text)
        for start, end, value in sorted(done, reverse=True):
            if end <= edge:
                made, edge = made[:start] + value + made[end:], start
        return made

    value = st.tuples(st.integers(0, len(spots) - 1), st.sampled_from(XML_VALUES) | st.floats().map(str))
    part = st.tuples(st.integers(0, len(elements) - 1), st.sampled_from([0, 2, 2, 50]))
    return st.builds(changed, st.lists(value, max_size=3), st.lists(part, max_size=1))


def xodr() -> Target:
    """In a child of its own for each input, as `read_opendrive` does: CARLA's reader is C++ and may take it down."""
    from apps.driving.roads.opendrive import from_opendrive

    def read(text: str) -> None:
        roads = from_opendrive(text, "fuzz")
        assert len(roads.xyz) == len(roads.yaw) > 0

    from_opendrive(MAP, "fuzz")
    inputs = st.one_of(xml(MAP), xml(MAP), xml(MAP), st.sampled_from(ENTITIES), _text(MAP))
    return Target(inputs, lambda text: isolated(read, text, told=CRASHES), examples=40)


def leaderboard() -> Target:
    from apps.driving.roads.leaderboard import read_leaderboard

    path = FOLDER / "routes.xml"

    def parse(text: str) -> None:
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        read_leaderboard(path)

    return Target(st.one_of(xml(ROUTES), st.sampled_from(ENTITIES), _text(ROUTES)), parse, named=path.name)


def roads() -> Target:
    from apps.driving.roads.network_files import load

    path = FOLDER / "ring.npz"
    valid = locate("assets/driving/maps/ring.npz").read_bytes()

    def parse(content: bytes) -> None:
        path.write_bytes(content)
        load(path)

    return Target(files(valid) | _npz(valid), parse, named=path.name, examples=20)


def databases() -> Target:
    """SQLite files as the demo takes them in."""
    import sqlite3

    from apps.text2sql.workbench import accept_upload
    from tests.fuzz.texts import _TABLES

    made = FOLDER / "good.sqlite"
    with sqlite3.connect(made) as connection:
        connection.executescript(_TABLES + "CREATE VIEW v AS SELECT * FROM singer; CREATE INDEX i ON singer(age);")
    connection.close()
    path = FOLDER / "given.sqlite"

    def parse(content: bytes) -> None:
        path.write_bytes(content)
        accept_upload(str(path), FOLDER)

    return Target(files(made.read_bytes()), parse, named=path.name, examples=30)


CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL)


def isolated(
    read: Callable[[Any], object], value: Any, seconds: float = 5.0, megabytes: int = 1000, told: Sequence[int] = ()
) -> None:
    """Call in a forked child; what it raises is raised here, and what takes it down is an AssertionError.

    Signals of `told` are a UsageError: the program itself calls it in a child, and tells its user.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        code = 0
        try:
            import faulthandler
            import resource

            faulthandler.disable()  # pytest's would print the child's end as if it were its own
            held = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
            resource.setrlimit(resource.RLIMIT_AS, (held + megabytes * 2**20,) * 2)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            for stream in (1, 2):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
            with cpu_limit(seconds):
                read(value)
        except BaseException as error:
            code = 1
            import traceback

            expected = isinstance(error, UsageError)
            message = str(error) if expected else "".join(traceback.format_exception(error))
            os.write(writing, pickle.dumps(((UsageError if expected else AssertionError).__name__, message[:60_000])))
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        kind = UsageError if os.WTERMSIG(status) in told else AssertionError
        raise kind(f"the process ended by signal {os.WTERMSIG(status)}")
    if said:
        name, message = pickle.loads(said)
        raise AssertionError(message) if name == "AssertionError" else UsageError(message)
    assert os.WEXITSTATUS(status) == 0


def _text(valid: str) -> st.SearchStrategy[str]:
    return st.builds(damaged, st.just(valid.encode()), edits).map(lambda data: data.decode("utf-8", "replace"))


def _npz(valid: bytes) -> st.SearchStrategy[bytes]:
    """The archive with one array of another shape or type."""
    import io

    import numpy as np

    arrays = dict(np.load(io.BytesIO(valid)))
    others = [
        np.zeros(0), np.array(7), np.array("text"), np.full(9, np.nan), np.zeros((2, 3, 4)), np.array([2**62, -1]), np.array([1j]),
        np.array([True]), np.zeros((10, 0)), np.array(["a", "b"]), np.full(500, -7), np.full((400, 3), 2**40),
    ]  # fmt: skip

    def changed(name: str, other: int) -> bytes:
        file = io.BytesIO()
        np.savez(file, **{**arrays, name: others[other]})
        return file.getvalue()

    return st.builds(changed, st.sampled_from(sorted(arrays)), st.integers(0, len(others) - 1))
