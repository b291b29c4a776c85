"""What a model's settings may ask for: no more than its weight files hold.

Settings are a text that anyone can change. A million layers take hours to build and a width of 10**9 takes all memory,
long before a library finds that the weights do not fit. So both are held against the weights before anything is built.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import DataError
from common.files import read_json

if TYPE_CHECKING:
    from torch import nn

#: Names of settings that say how many layers are built one after the other; each layer has a tensor of its own.
_LAYERS = re.compile(r"(^|_)(layers?|depths?|blocks?|stages?)$")
#: Settings of such names that count something else.
_OTHERS = frozenset({"max_window_layers"})
_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth")
#: Of a file whose tensors cannot be counted before it is read.
_MOST_TENSORS = 10_000
#: A head that is still to be trained, or a tied tensor that is no longer tied, may be missing in the files.
_SLACK, _HEAD = 2, 2**22


@dataclass(frozen=True)
class Held:
    """What weight files hold.

    Attributes:
        tensors: how many.
        numbers: all of them together; packed ones count as one bit each.
    """

    tensors: int
    numbers: int


def held_in(files: Iterable[Path]) -> Held:
    """What files hold, by the headers of those that are safetensors and by the size of others.

    Raises:
        DataError: a file is missing or damaged.
    """
    from safetensors import SafetensorError, safe_open

    tensors = numbers = 0
    for file in files:
        try:
            if file.suffix != ".safetensors":
                tensors, numbers = tensors + _MOST_TENSORS, numbers + 8 * file.stat().st_size
                continue
            with safe_open(file, "pt") as opened:
                for name in opened.keys():  # noqa: SIM118 - not a mapping
                    part = opened.get_slice(name)
                    count = 1
                    for size in part.get_shape():
                        count *= size
                    packed = re.fullmatch(r"[IU](\d+)", part.get_dtype())
                    tensors, numbers = tensors + 1, numbers + count * (int(packed[1]) if packed else 1)
        except (OSError, SafetensorError) as error:
            found = "no such file" if isinstance(error, FileNotFoundError) else f"damaged weights ({error})"
            raise DataError(f"{found}; fetch the model's folder again, or train it again", path=file) from error
    return Held(tensors, numbers)


def weight_files(folder: Path) -> list[Path]:
    """The weight files that lie in a folder itself."""
    return sorted(file for file in folder.iterdir() if file.suffix in _SUFFIXES and file.is_file())


def check_layers(settings: Any, held: Held, path: Path) -> None:
    """Raise a `DataError` where settings, however deep they are nested, name more layers than there are tensors."""
    waiting = [("", settings)]
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, Mapping):
            waiting += [(str(key), one) for key, one in value.items()]
        elif isinstance(value, list):
            waiting += [(name, one) for one in value]
        elif _LAYERS.search(name) and name not in _OTHERS and isinstance(value, (int, float)) and value > held.tensors:
            raise DataError(
                f"{name} is {value!s:.20}, and the weights beside it are {held.tensors:,} tensors; {_NEXT}", path=path
            )


def check_network(make: Callable[[], nn.Module], held: Held, path: Path) -> None:
    """Raise a `DataError` where the network that `make` builds has far more numbers than there are.

    It is built without memory. Weights that it is given ready made do not count. What `make` raises is let through.
    """
    import torch

    with torch.device("meta"):
        network = make()
    tensors = [*network.parameters(), *network.buffers()]
    wanted = sum(one.numel() for one in tensors if one.is_meta)
    if wanted > _SLACK * held.numbers + _HEAD:
        raise DataError(
            f"a network of these sizes has {wanted:,} numbers, and the weights beside it {held.numbers:,}; {_NEXT}",
            path=path,
        )


def check_folder(folder: str | Path, kind: Any) -> None:
    """Hold a transformers model's folder against its weights.

    A hub id is let through, and so is a folder without settings or weights: loading says what is wrong with it.

    Args:
        folder: of the model.
        kind: transformers' class that is to load it, `AutoModelForCausalLM` or a model's own.

    Raises:
        DataError: the settings ask for more than the weights are, or the weights are damaged.
        Exception: whatever transformers raises on settings that it cannot use; see `loading.unreadable`.
    """
    from transformers import AutoConfig

    folder = Path(folder)
    path = folder / "config.json"
    if not path.is_file() or not (files := weight_files(folder)):
        return
    held = held_in(files)
    check_layers(read_json(path), held, path)
    config = getattr(kind, "config_class", AutoConfig).from_pretrained(str(folder))
    build = getattr(kind, "from_config", None) or kind._from_config
    check_network(lambda: build(config), held, path)


_NEXT = "take settings and weights of one model"
