"""A name for a scene's exact numbers, to tell whether two runs came to the same."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Protocol


class Kept(Protocol):
    """Something with tensors."""

    def state_dict(self) -> Mapping[str, Any]:
        """Its tensors by name."""


def fingerprint(scene: Kept) -> str:
    """SHA-256 of a scene's tensors: the same seed gives the same one, on one machine and with as many threads."""
    digest = hashlib.sha256()
    for name, tensor in sorted(scene.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
