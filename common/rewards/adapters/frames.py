"""What a model says of a frame, computed once for equal frames."""

from __future__ import annotations

import hashlib
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from common.errors import RewardError
from common.rewards.adapters.transitions import Array, Layout, as_pictures

log = logging.getLogger(__name__)


class FrameMemory:
    """Vectors of frames by the frames' digests; the least recently used are forgotten first.

    Equal frames of one call are computed once. A vector that is not finite is the grader's failure and is not kept.
    The memory is part of the state: a model's last digits depend on the batch it computes a frame in, so that a run
    which is resumed without it would differ from one that was not.

    Args:
        compute: vectors `(B, D)` of pictures `(B, 3, H, W)` in [0, 1]. A RuntimeError (out of memory, a lost device)
            is its failure: those rows are NaN.
        layout: of the pictures given.
        size: vectors kept, 0 for none.
        batch_size: pictures in one call.
    """

    def __init__(
        self, compute: Callable[[Tensor], Tensor], layout: Layout, size: int = 4096, batch_size: int = 256
    ) -> None:
        self.compute = compute
        self.layout: Layout = layout
        self.size = size
        self.batch_size = batch_size
        self.computed = 0
        self.reason = ""
        self._known: OrderedDict[bytes, Tensor] = OrderedDict()

    def vectors(self, pictures: Sequence[Array]) -> list[Tensor]:
        """A vector `(D,)` for each picture, in their order.

        Raises:
            RewardError: what was computed is not one vector a picture.
        """
        keys = [digest(picture) for picture in pictures]
        found = {key: self._known[key] for key in keys if key in self._known}
        new = {key: picture for key, picture in zip(keys, pictures, strict=True) if key not in found}
        names = list(new)
        for start in range(0, len(names), self.batch_size):
            some = names[start : start + self.batch_size]
            found |= dict(zip(some, self._compute([new[key] for key in some]), strict=True))
        for key in keys:
            if bool(found[key].isfinite().all()):
                self._known[key] = found[key]
                self._known.move_to_end(key)
        while len(self._known) > self.size:
            self._known.popitem(last=False)
        return [found[key] for key in keys]

    def _compute(self, pictures: Sequence[Array]) -> Sequence[Tensor]:
        self.computed += len(pictures)
        stacked = as_pictures(pictures, self.layout)
        try:
            with torch.no_grad():
                vectors = self.compute(stacked)
        except RuntimeError as error:
            self.reason = f"the model failed: {error}"
            log.warning("%d frames could not be looked at: %s", len(pictures), error)
            return list(torch.full((len(pictures), 1), torch.nan))
        if vectors.ndim != 2 or len(vectors) != len(pictures):
            raise RewardError(f"{len(pictures)} frames gave vectors of shape {tuple(vectors.shape)}")
        return list(vectors.detach().float().cpu())

    def state_dict(self) -> dict[str, Any]:
        """The digests `(n, 16)` and vectors `(n, D)`, the least recently used first."""
        if not self._known:
            return {"digests": torch.zeros(0, 16, dtype=torch.uint8), "vectors": torch.zeros(0, 0)}
        digests = np.frombuffer(b"".join(self._known), dtype=np.uint8).reshape(len(self._known), -1).copy()
        return {"digests": torch.from_numpy(digests), "vectors": torch.stack(list(self._known.values()))}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put back what `state_dict` returned."""
        keys = [row.numpy().tobytes() for row in state["digests"]]
        self._known = OrderedDict(zip(keys, state["vectors"].clone(), strict=True))


def digest(picture: Array) -> bytes:
    """16 bytes that tell frames apart; equal for equal shape, type and contents."""
    whole = np.ascontiguousarray(picture)
    return hashlib.blake2b(whole.data, digest_size=16, person=f"{whole.dtype.str}{whole.shape}"[:16].encode()).digest()


def stacked_vectors(vectors: Sequence[Tensor]) -> Tensor:
    """`(B, D)`; the one NaN that stands for a failed frame fills its row."""
    width = max(len(vector) for vector in vectors)
    return torch.stack(
        [vector if len(vector) == width else vector.new_full((width,), torch.nan) for vector in vectors]
    )
