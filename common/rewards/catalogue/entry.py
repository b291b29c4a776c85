"""What the catalogue knows of one name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["leaf", "composite", "transform", "piece", "function"]
_HERE = "common.rewards."


@dataclass(frozen=True)
class Entry:
    """One name.

    Attributes:
        name: as a config writes it.
        target: "module:Class", relative to `common.rewards` where it starts with a dot; or a function that makes one.
        kind: a leaf scores rows itself, a composite several rewards, a transform one reward; a piece is no reward but
            what one is made with; a function is called by a program, no config reaches it.
        what: what it is, in a few words.
        paper: where it comes from; empty where it is ours.
        differs: what is not as in the paper; empty where nothing is.
        used_by: applications that use it.
    """

    name: str
    target: str
    kind: Kind
    what: str
    paper: str = ""
    differs: str = ""
    used_by: tuple[str, ...] = ()

    @property
    def module(self) -> str:
        """The module's full name."""
        module = self.target.split(":")[0]
        return _HERE + module.removeprefix(".") if module.startswith(".") else module

    @property
    def attribute(self) -> str:
        """The class' or function's name in its module."""
        return self.target.split(":")[1]

    @property
    def file(self) -> str:
        """Where it stands, from the repository's root."""
        return self.module.replace(".", "/") + ".py"
