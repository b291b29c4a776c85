"""Settings of what runs beyond one process. Nothing heavy is imported here."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field

from common.errors import UsageError


@dataclass(frozen=True)
class Limits:
    """What a reward server takes in one request.

    Args:
        bytes: of the body.
        rows: of the batch.
        characters: of all texts of one row's entry together.
        picture_pixels: of one picture.
        pixels: of all pictures of the request.
    """

    bytes: int = 16 * 2**20
    rows: int = 1024
    characters: int = 50_000
    picture_pixels: int = 2**23
    pixels: int = 2**26


@dataclass
class ServeConfig:
    """A reward server.

    Args:
        host: address to listen at; any but the loopback's needs a token.
        port: to listen at.
        token_file: file with the token that callers must show, one word; empty serves everybody who can connect.
        replicas: processes that score, under Ray Serve; 0 scores in this process, without Ray.
        cpus: of each replica, for Ray's scheduler.
        gpus: of each replica; may be a part of one.
        joint_rows: rows of several requests that a replica scores together.
        joint_wait: seconds that a replica waits for further requests to score with the first.
        pending: requests under way at once in a replica; further ones are sent away with 503, and come again.
        limits: what one request may hold.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    token_file: str = ""
    replicas: int = 0
    cpus: float = 1.0
    gpus: float = 0.0
    joint_rows: int = 256
    joint_wait: float = 0.01
    pending: int = 256
    limits: Limits = field(default_factory=Limits)

    def check(self) -> None:
        """Look at every setting.

        Raises:
            UsageError: one cannot be, or the server would be open to others without a token.
        """
        low = [name for name in ("joint_rows", "pending") if getattr(self, name) < 1]
        low += [name for name in ("replicas", "cpus", "gpus", "joint_wait") if getattr(self, name) < 0]
        low += [f"limits.{name}" for name, value in vars(self.limits).items() if value < 1]
        if low:
            raise UsageError(f"{', '.join(low)} of a reward server: too small")
        if not 0 <= self.port < 65536:
            raise UsageError(f"--port {self.port}: there is no such port")
        if not self.token_file and not is_loopback(self.host):
            raise UsageError(
                f"--host {self.host} can be reached from other machines: give a --token_file, for instance of "
                "`python -c 'import secrets; print(secrets.token_urlsafe())' > token`"
            )


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine only; a name other than localhost counts as not."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
