"""Episodes of the embedded simulator repeat, resume and leave nothing behind."""

from __future__ import annotations

import dataclasses
import gc
import os
import pickle
import subprocess
import sys

import numpy as np

from apps.driving.backends.base import Traffic
from apps.driving.backends.embedded import EmbeddedBackend
from tests.apps.driving.backends.episodes import FULL, GO, digest, scenario, wander
from tests.apps.driving.small_roads import crossroads
from tests.conftest import ROOT


def test_equal_scenarios_give_equal_bytes_and_other_seeds_others() -> None:
    backend, again = EmbeddedBackend(crossroads()), EmbeddedBackend(crossroads())
    runs = []
    for one, seed in ((backend, 5), (backend, 5), (again, 5), (again, 6)):
        first = digest(one.reset(scenario(one, 30, FULL, seed=seed)))
        runs.append([first, *wander(one, 300)])
    assert runs[0] == runs[1] == runs[2]
    assert runs[0] != runs[3]


def test_the_global_generators_are_neither_read_nor_moved() -> None:
    backend = EmbeddedBackend(crossroads())
    np.random.seed(1)
    before = pickle.dumps(np.random.get_state())
    backend.reset(scenario(backend, 30, FULL))
    one = wander(backend, 100)
    assert pickle.dumps(np.random.get_state()) == before
    np.random.seed(2)
    backend.reset(scenario(backend, 30, FULL))
    assert wander(backend, 100) == one


SCRIPT = """
import hashlib, sys
from tests.apps.driving.backends.test_embedded_repeats import *
backend = EmbeddedBackend(crossroads())
backend.reset(scenario(backend, 30, FULL, seed=5))
print(hashlib.sha256(b"".join(wander(backend, 300))).hexdigest())
"""


def test_equal_bytes_across_processes() -> None:
    said = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1
    assert len(said.pop().strip()) == 64


def test_a_thousand_resets_leave_nothing_behind() -> None:
    backend = EmbeddedBackend(crossroads())
    start = scenario(backend, 30, Traffic(4, 2, 1))
    for _ in range(20):
        backend.reset(start)
        backend.step(GO)
    gc.collect()
    objects, blocks = len(gc.get_objects()), sys.getallocatedblocks()
    for seed in range(1000):
        backend.reset(dataclasses.replace(start, seed=seed))
        backend.step(GO)
    backend.reset(start)
    backend.step(GO)
    gc.collect()
    assert len(gc.get_objects()) - objects < 50
    assert sys.getallocatedblocks() - blocks < 2000
