"""How a replay buffer stores the observations of a space: as they are, or as bits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.preprocessing import get_obs_shape

from common.errors import UsageError

Array = NDArray[Any]
#: Key of an observation that is no dictionary.
WHOLE = ""


class Codec:
    """How the observations of one space are stored: as they are.

    Args:
        shape: of one observation.
        dtype: of its numbers.
    """

    def __init__(self, shape: tuple[int, ...], dtype: Any) -> None:
        self.shape = shape
        self.dtype = np.dtype(dtype)
        self.stored_shape = shape
        self.stored_dtype = self.dtype

    @property
    def nbytes(self) -> int:
        """Bytes of one stored observation."""
        return prod(self.stored_shape) * self.stored_dtype.itemsize

    def encode(self, values: Array) -> Array:
        """`(n, *shape)` as it is stored."""
        return np.asarray(values, self.dtype).reshape(-1, *self.shape)

    def decode(self, stored: Array) -> Array:
        """`(n, *shape)` from what was stored."""
        return stored


class Bits(Codec):
    """Stores observations of 0 and one other number, `high`, as bits.

    Args:
        shape: of one observation.
        dtype: of its numbers.
        high: 1, or 255 for masks that pass as pictures.
    """

    def __init__(self, shape: tuple[int, ...], dtype: Any, high: int) -> None:
        super().__init__(shape, dtype)
        self.high = high
        self.size = prod(shape)
        self.stored_shape = ((self.size + 7) // 8,)
        self.stored_dtype = np.dtype(np.uint8)

    def encode(self, values: Array) -> Array:
        """See `Codec.encode`.

        Raises:
            ValueError: a number other than 0 and `high`.
        """
        flat = np.asarray(values).reshape(-1, self.size)
        bits = flat != 0
        # No number lies outside 0 to `high` (the space's bounds), so the sums agree only where all are one of the two.
        if flat.min(initial=0) < 0 or int(flat.sum(dtype=np.int64)) != self.high * int(np.count_nonzero(bits)):
            raise ValueError(f"a binary mask holds numbers other than 0 and {self.high}; store it unpacked")
        return np.packbits(bits, axis=1)

    def decode(self, stored: Array) -> Array:
        """See `Codec.decode`."""
        values = np.unpackbits(stored, axis=1, count=self.size).astype(self.dtype, copy=False)
        if self.high != 1:
            values = values * self.dtype.type(self.high)
        return values.reshape(-1, *self.shape)


def codecs(space: spaces.Space, binary: Sequence[str] = ()) -> dict[str, Codec]:
    """The codec of each key of an observation space.

    Args:
        space: of the observations; one that is no dictionary has the key "".
        binary: keys whose observations hold 0 and the space's upper bound (1 or 255) and nothing else. MultiBinary and
            integer boxes from 0 to 1 need not be named.

    Raises:
        UsageError: a key is not in the space, or such observations cannot be binary.
    """
    inner: Mapping[str, Any] = space.spaces if isinstance(space, spaces.Dict) else {WHOLE: space}
    shapes: Any = get_obs_shape(space)
    shapes = shapes if isinstance(space, spaces.Dict) else {WHOLE: shapes}
    unknown = sorted(set(binary) - set(inner))
    if unknown:
        raise UsageError(f"binary: the observation has no {unknown}; it has {sorted(inner)}")
    return {key: _codec(key, one, tuple(shapes[key]), key in binary) for key, one in inner.items()}


def _codec(key: str, space: Any, shape: tuple[int, ...], named: bool) -> Codec:
    whole = space.dtype is not None and np.issubdtype(space.dtype, np.integer)
    if isinstance(space, spaces.MultiBinary):
        return Bits(shape, space.dtype, 1)
    high = int(space.high.max()) if isinstance(space, spaces.Box) and whole else 0
    if (
        isinstance(space, spaces.Box)
        and whole
        and int(space.low.min()) == 0
        and (high == 1 or (named and high == 255))
    ):
        return Bits(shape, space.dtype, high)
    if named:
        raise UsageError(f"binary: {key!r} must be a box of whole numbers from 0 to 1 or 255, not {space}")
    return Codec(shape, space.dtype)
