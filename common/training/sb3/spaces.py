"""Gymnasium spaces as JSON, so that a saved policy says what it sees and does without any pickled object."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces

from common.errors import DataError, UsageError

#: Of one observation or action.
MOST_NUMBERS = 2**24


def space_to_plain(space: spaces.Space) -> dict[str, Any]:
    """A space as JSON holds it.

    Raises:
        UsageError: a kind of space that policies are not trained on here.
    """
    if isinstance(space, spaces.Box):
        return {
            "kind": "Box",
            "low": _bound(space.low),
            "high": _bound(space.high),
            "shape": list(space.shape),
            "dtype": np.dtype(space.dtype).str,
        }
    if isinstance(space, spaces.Discrete):
        return {"kind": "Discrete", "n": int(space.n), "start": int(space.start)}
    if isinstance(space, spaces.MultiDiscrete):
        return {"kind": "MultiDiscrete", "nvec": np.asarray(space.nvec).tolist()}
    if isinstance(space, spaces.MultiBinary):
        return {"kind": "MultiBinary", "shape": list(space.shape)}
    if isinstance(space, spaces.Dict):
        return {"kind": "Dict", "spaces": {key: space_to_plain(one) for key, one in space.spaces.items()}}
    raise UsageError(
        f"a policy on the space {space} cannot be saved; use Box, Discrete, MultiDiscrete, MultiBinary, Dict"
    )


def space_from_plain(plain: Mapping[str, Any]) -> spaces.Space:
    """A space from what `space_to_plain` returned.

    Raises:
        DataError: it is none.
    """
    try:
        kind = plain["kind"]
        if kind == "Box":
            shape, dtype = _shape(plain["shape"]), np.dtype(plain["dtype"])
            low, high = _array(plain["low"], shape, dtype), _array(plain["high"], shape, dtype)
            return spaces.Box(low, high, shape, dtype.type)
        if kind == "Discrete":
            return spaces.Discrete(plain["n"], start=plain["start"])
        if kind == "MultiDiscrete":
            return spaces.MultiDiscrete(plain["nvec"])
        if kind == "MultiBinary":
            shape = _shape(plain["shape"])
            return spaces.MultiBinary(shape if len(shape) > 1 else shape[0])
        if kind == "Dict":
            return spaces.Dict({key: space_from_plain(one) for key, one in plain["spaces"].items()})
    except (LookupError, TypeError, ValueError, AttributeError, AssertionError, OverflowError) as error:
        raise DataError(f"damaged description of a space: {error}") from error
    raise DataError(f"unknown kind of space {kind!r}")


def _shape(shape: Any) -> tuple[int, ...]:
    """A shape whose array fits into memory."""
    if math.prod(shape) > MOST_NUMBERS:
        raise ValueError(f"a space of shape {shape} has more than {MOST_NUMBERS:,} numbers")
    return tuple(shape)


def _bound(bound: np.ndarray) -> Any:
    """One number where all are equal, nested lists otherwise; as texts, which hold infinities exactly."""
    values = bound.reshape(-1)
    if len(values) and (values == values[0]).all():
        return str(values[0].item())
    return [str(value) for value in values.tolist()]


def _array(bound: Any, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    read = float if np.issubdtype(dtype, np.floating) else int
    if isinstance(bound, str):
        return np.full(shape, read(bound), dtype)
    return np.array([read(value) for value in bound], dtype).reshape(shape)
