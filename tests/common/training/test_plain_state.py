"""States in files that execute nothing."""

from __future__ import annotations

import math
import random
import struct

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import DataError
from common.training.plain_state import load_state, save_state
from common.training.run import rng_state, set_rng_state

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**140), 2**140)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from([torch.arange(6.0).reshape(2, 3), torch.zeros(0, 4, dtype=torch.uint8), torch.tensor(3)])
    | st.sampled_from([np.float64(0.1), np.int8(3), np.arange(4)[::2], np.zeros((2, 0), bool), np.array(7)])
)
KEYS = st.text(max_size=6) | st.integers() | st.tuples(st.integers(), st.text(max_size=3))
STATES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.lists(inner, max_size=3).map(tuple) | st.dictionaries(KEYS, inner, max_size=3)
    ),
    max_leaves=12,
)


def same(one, other) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, (np.ndarray, np.generic)):
        return one.dtype == other.dtype and np.shape(one) == np.shape(other) and bool(np.all(one == other))
    if isinstance(one, float):
        return struct.pack("d", one) == struct.pack("d", other)
    return one == other


@settings(max_examples=150, deadline=None)
@given(state=STATES)
def test_a_state_comes_back_as_it_was(tmp_path_factory, state):
    folder = tmp_path_factory.mktemp("state")
    save_state(folder, state)
    assert same(load_state(folder), state)


@pytest.mark.parametrize(
    "state",
    [
        {"a.b": torch.ones(1), "a": {"b": torch.zeros(2)}},
        {"__kind__": "tensor", "name": "state"},
        {"nan": [math.nan, -math.nan, math.inf, -math.inf, -0.0]},
    ],
)
def test_names_that_look_alike_and_words_of_its_own_are_no_trap(tmp_path, state):
    save_state(tmp_path, state)
    assert same(load_state(tmp_path), state)


def test_generators_go_on_where_they_were(tmp_path):
    generator = np.random.default_rng(7)
    save_state(tmp_path, {"run": rng_state(), "own": generator.bit_generator.state})
    expected = (random.random(), np.random.rand(), float(torch.rand(1)), generator.random())
    state = load_state(tmp_path)
    set_rng_state(state["run"])
    generator.bit_generator.state = state["own"]
    assert (random.random(), np.random.rand(), float(torch.rand(1)), generator.random()) == expected


def test_an_optimiser_goes_on_where_it_was(tmp_path):
    def step(weight, optimiser):
        optimiser.zero_grad()
        (weight**2).sum().backward()
        optimiser.step()

    weight = torch.nn.Parameter(torch.ones(3))
    optimiser = torch.optim.Adam([weight], lr=0.1)
    step(weight, optimiser)
    save_state(tmp_path, {"weight": weight, "optimiser": optimiser.state_dict()})
    state = load_state(tmp_path)
    other = torch.nn.Parameter(state["weight"])
    again = torch.optim.Adam([other], lr=0.5)
    again.load_state_dict(state["optimiser"])
    step(weight, optimiser), step(other, again)
    assert torch.equal(weight, other)


@pytest.mark.parametrize("wrong", [{"a": [object()]}, {"a": np.array([object()])}, {"a": {1, 2}}, {"a": lambda: 0}])
def test_what_cannot_be_kept_is_refused_with_its_place(tmp_path, wrong):
    with pytest.raises(TypeError, match=r"state\.a"):
        save_state(tmp_path, wrong)


def test_damaged_files_are_named(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        load_state(tmp_path)
    save_state(tmp_path, {"a": torch.ones(4)})
    whole = (tmp_path / "tensors.safetensors").read_bytes()
    for damage in (whole[:20], b"", b"\x80\x04."):
        (tmp_path / "tensors.safetensors").write_bytes(damage)
        with pytest.raises(DataError, match="damaged"):
            load_state(tmp_path)
    (tmp_path / "tensors.safetensors").unlink()
    with pytest.raises(DataError, match="no such file"):
        load_state(tmp_path)
    (tmp_path / "state.json").write_text('{"a": {"__kind__": "pickle", "name": "state.a"}}')
    (tmp_path / "tensors.safetensors").write_bytes(whole)
    with pytest.raises(DataError, match="unknown kind"):
        load_state(tmp_path)
