"""A small network that sees as a large CLIP does: distilled from its picture vectors, for rewards that look often.

Language stays the teacher's: the vectors of the texts that the student was taught with lie in its folder, so that a
training never opens the teacher; for any other text the teacher is asked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional

from common.errors import DataError, UsageError
from common.files import locate, read_json, write_json
from common.models.clip import Clip, _Opened, check_pictures, unit
from common.models.sizes import check_network, held_in
from common.pictures import load_picture, to_tensor

if TYPE_CHECKING:
    from PIL.Image import Image

WEIGHTS, SETTINGS = "student.safetensors", "student.json"
#: Of the entries in the weights' file that hold the texts' vectors.
TEXTS = "texts"


@dataclass(frozen=True)
class StudentShape:
    """Size of a student.

    Attributes:
        size: height and width of what it looks at, in pixels; a multiple of 16.
        width: channels after the first of four convolutions, each of which halves the picture.
        dim: length of the teacher's vectors.
    """

    size: int = 64
    width: int = 16
    dim: int = 96


class StudentNet(nn.Module):
    """Four strided convolutions and a linear layer: `(B, 3, size, size)` in [0, 1] to `(B, dim)`."""

    def __init__(self, shape: StudentShape) -> None:
        super().__init__()
        if shape.size % 16:
            raise UsageError(f"a student's size must be a multiple of 16; it is {shape.size}")
        self.shape = shape
        channels = [3, shape.width, 2 * shape.width, 4 * shape.width, 4 * shape.width]
        layers: list[nn.Module] = []
        for before, after in pairwise(channels):
            layers += [nn.Conv2d(before, after, 3, 2, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        self.body = nn.Sequential(*layers, nn.Flatten())
        self.head = nn.Linear(channels[-1] * (shape.size // 16) ** 2, shape.dim)
        # So few channels are convolved faster when they lie last.
        self.to(memory_format=torch.channels_last)

    def forward(self, pictures: Tensor) -> Tensor:
        """`(B, dim)`, not yet of length 1."""
        seen: Tensor = self.head(self.body(pictures.contiguous(memory_format=torch.channels_last)))
        return seen


class ClipStudent(Clip):
    """A `Clip` whose pictures are seen by a student; see `save_student` for its folder.

    Args:
        folder: of the student.
        teacher: answers for texts that the student was not taught with; the one named in the folder where not given.
        device: torch device.
        batch_size: pictures that are encoded at once.

    Raises:
        DataError: a file of the folder is missing or damaged.
        UsageError: of `text`, where the teacher at hand is not the one that it learnt from.
    """

    def __init__(
        self, folder: str | Path, teacher: Clip | None = None, device: str = "cpu", batch_size: int = 256
    ) -> None:
        self.folder = locate(folder)
        settings = read_json(self.folder / SETTINGS)
        try:
            shape = StudentShape(**settings["shape"])
            name, weights = str(settings["teacher"]), settings["pretrained"]
            self.taught = tuple(map(str, settings["texts"]))
            self.teacher_digest = str(settings["teacher_digest"])
            state = _load(self.folder / WEIGHTS)
            vectors = state.pop(TEXTS)
            check_network(lambda: StudentNet(shape), held_in([self.folder / WEIGHTS]), self.folder / SETTINGS)
            self.net = StudentNet(shape)
            self.net.load_state_dict(state)
        except (LookupError, TypeError, ValueError, RuntimeError, ArithmeticError) as error:
            raise DataError(f"this is no student of a CLIP: {error}", path=self.folder) from error
        if vectors.shape != (len(self.taught), shape.dim):
            raise DataError(
                f"{len(self.taught)} texts of {shape.dim} numbers are named, {tuple(vectors.shape)} are kept",
                path=self.folder / WEIGHTS,
            )
        super().__init__(name, weights, device, batch_size=batch_size)
        self.teacher = teacher or Clip(name, weights, device)
        self.net = self.net.to(device).eval().requires_grad_(False)
        self._known = dict(zip(self.taught, vectors.to(device), strict=True))

    @property
    def name(self) -> str:
        """Whose student, and where it lies."""
        return f"student {self.folder.name} of {super().name}"

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self.net.shape.dim

    @property
    def model(self) -> nn.Module:
        """The student's network."""
        return self.net

    @property
    def fingerprint(self) -> str:
        """Digest of the student's weights and of its teacher."""
        if self._fingerprint is None:
            digest = hashlib.sha256(self.teacher_digest.encode())
            for key, value in sorted(self.net.state_dict().items()):
                digest.update(f"{key} {tuple(value.shape)}".encode())
                digest.update(value.detach().cpu().contiguous().numpy().tobytes())
            self._fingerprint = digest.hexdigest()[:32]
        return self._fingerprint

    def prepare(self, pictures: Tensor | Sequence[Image]) -> Tensor:
        """Pictures at the student's size, `(B, 3, size, size)` in [0, 1]; see `Clip.image`."""
        size = self.net.shape.size
        if isinstance(pictures, Tensor):
            check_pictures(pictures)
            return _resized(pictures.to(self.device), size)
        loaded = [to_tensor([load_picture(one, self.background)]).to(self.device) for one in pictures]
        return torch.cat([_resized(one, size) for one in loaded]) if loaded else torch.zeros(0, 3, size, size)

    def encode_prepared(self, prepared: Tensor) -> Tensor:
        """Vectors of pictures that `prepare` made, of length 1."""
        return unit(self.net(prepared))

    def text(self, texts: Sequence[str]) -> Tensor:
        """The teacher's vectors; those that the student was taught with need no teacher."""
        if not isinstance(texts, str) and all(isinstance(text, str) and text in self._known for text in texts):
            return torch.stack([self._known[text] for text in texts]) if texts else self._nothing()
        return super().text(texts).to(self.device)

    def _load(self) -> _Opened:
        if self.teacher.fingerprint != self.teacher_digest:
            known = ", ".join(map(repr, self.taught))
            raise UsageError(
                f"{self.folder} learnt from other weights, or another precision, than CLIP {self.teacher.name}'s: of "
                f"its texts it knows only {known}. Name the CLIP that it learnt from, or teach it anew"
            )
        return self.teacher._open()


def save_student(net: StudentNet, teacher: Clip, texts: Sequence[str], folder: Path | str) -> Path:
    """Write a student: `student.json` (shape, teacher, texts) and `student.safetensors` (weights, the texts' vectors).

    Args:
        net: the network.
        teacher: it learnt from.
        texts: that will be compared with its pictures, such as a reward's goals.
        folder: to write into.
    """
    from safetensors.torch import save

    from common.files import write_bytes

    folder = Path(folder)
    state = {name: value.detach().cpu().contiguous() for name, value in net.state_dict().items()}
    write_bytes(folder / WEIGHTS, save(state | {TEXTS: teacher.text(texts).cpu().contiguous()}))
    settings: dict[str, Any] = {
        "shape": asdict(net.shape),
        "teacher": teacher.model_name,
        "pretrained": teacher.pretrained,
        "teacher_digest": teacher.fingerprint,
        "texts": list(texts),
    }
    write_json(folder / SETTINGS, settings)
    return folder


def _resized(pictures: Tensor, size: int) -> Tensor:
    if pictures.shape[-2:] == (size, size):
        return pictures.float()
    return functional.interpolate(pictures.float(), (size, size), mode="bilinear", antialias=True).clamp(0, 1)


def _load(path: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise DataError(f"damaged or missing weights: {error}", path=path) from error
