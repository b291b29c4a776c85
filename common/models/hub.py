"""What of the hub is here, and whether it can be asked."""

from __future__ import annotations

import socket
from functools import lru_cache
from urllib.parse import urlparse

SECONDS = 3.0


def cached(path: str, file: str = "config.json") -> bool:
    """Whether a hub model's settings lie on this machine."""
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(path, file), str)


@lru_cache
def unreachable(seconds: float = SECONDS) -> str:
    """Why the hub cannot be asked; empty where it can. One try: the hub's own client goes on trying for 20 seconds."""
    from huggingface_hub.constants import ENDPOINT

    address = urlparse(ENDPOINT)
    try:
        with socket.create_connection((address.hostname or "", address.port or 443), seconds):
            return ""
    except OSError:
        return f"no connection to {address.hostname}"
