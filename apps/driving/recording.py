"""Moving pictures of drives: MP4 with every frame, GIF within a fixed number of frames, contact sheets."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from common.errors import MissingDependency, UsageError
from common.files import write_bytes

Picture = NDArray[np.uint8]
#: Colours of a GIF: views have ten, and their smoothed writing some more.
COLOURS = 64
#: Frames, evenly spread, that they are chosen from.
PALETTE_FRAMES = 12
#: Milliseconds below which browsers slow a GIF down.
FASTEST = 20


class Recorder(Protocol):
    """Takes frames `(H, W, 3)` uint8 and makes a file of them; what was taken is kept when it closes early."""

    def add(self, frame: Picture) -> None:
        """The next frame."""

    def close(self) -> Path | None:
        """Finish the file; None where there was no frame."""


class Gif:
    """Frames of a drive within a fixed number, and a GIF of them.

    When there are too many every second one goes, and from then on only every second one comes: memory and file stay
    small however long the drive is, and the picture runs in the same time as the drive.

    Args:
        path: of the file; None keeps the frames only.
        fps: frames a second of the drive.
        most: frames kept, at least 2.
        size: height and width of frames in pixels; 0 leaves them as they are.
    """

    def __init__(self, path: Path | str | None = None, fps: float = 10.0, most: int = 300, size: int = 0) -> None:
        if most < 2:
            raise UsageError(f"a moving picture of {most} frames does not move; ask for 2 or more")
        self.path = None if path is None else Path(path)
        self.fps = fps
        self.most = most
        self.size = size
        self.stride = 1
        self.frames: list[Image.Image] = []
        self._count = 0
        self._last: Picture | None = None

    def add(self, frame: Picture) -> None:
        """The next frame."""
        if self._count % self.stride == 0:
            self.frames.append(self._made(frame))
            self._last = None
            if len(self.frames) > self.most:
                self.frames = self.frames[::2]
                self.stride *= 2
        else:
            self._last = frame.copy()
        self._count += 1

    def pictures(self) -> list[Image.Image]:
        """The frames that were kept, and the last one in any case: it shows how the drive ended."""
        return self.frames if self._last is None else [*self.frames, self._made(self._last)]

    def encoded(self) -> bytes:
        """The GIF; no frame gives no bytes."""
        import io

        frames = self.pictures()
        if not frames:
            return b""
        # One palette for all: colours do not flicker, and equal frames give equal bytes.
        some = frames[:: max(1, len(frames) // PALETTE_FRAMES)]
        mosaic = contact_sheet([some], max(len(some), 2), max(some[0].size), 0)
        # The octree keeps what is rare: a median cut paints the few pixels of the car in the colour of its route.
        palette = mosaic.quantize(COLOURS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        first, *others = (frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames)
        buffer = io.BytesIO()
        first.save(
            buffer,
            format="GIF",
            save_all=True,
            append_images=others,
            duration=max(round(1000 * self.stride / self.fps), FASTEST),
            loop=0,
        )
        return buffer.getvalue()

    def close(self) -> Path | None:
        """Write the file."""
        if self.path is None or not self.frames:
            return None
        return write_bytes(self.path, self.encoded())

    def _made(self, frame: Picture) -> Image.Image:
        image = Image.fromarray(frame)
        return image.resize((self.size, self.size), Image.Resampling.LANCZOS) if self.size else image


class Mp4:
    """Every frame of a drive as MP4 (H.264), written as frames come.

    Args:
        path: of the file; until it is closed the frames lie in `.NAME.part.mp4` beside it.
        fps: frames a second.

    Raises:
        MissingDependency: imageio-ffmpeg is not installed.
    """

    def __init__(self, path: Path | str, fps: float = 10.0) -> None:
        try:
            import imageio_ffmpeg  # noqa: F401 - imageio finds it by itself, and says less when it does not
        except ImportError as error:
            raise MissingDependency("imageio-ffmpeg", "driving") from error
        self.path = Path(path)
        self.fps = fps
        self._part = self.path.with_name(f".{self.path.stem}.part.mp4")
        self._writer: Any = None

    def add(self, frame: Picture) -> None:
        """The next frame; all are of one size."""
        if self._writer is None:
            import imageio.v2

            self.path.parent.mkdir(parents=True, exist_ok=True)
            # H.264 wants even heights and widths; 1 leaves them to the frames, which are cut below.
            self._writer = imageio.v2.get_writer(
                self._part,
                format="FFMPEG",
                fps=self.fps,
                codec="libx264",
                macro_block_size=1,
                ffmpeg_log_level="error",
            )
        height, width = (side - side % 2 for side in frame.shape[:2])
        self._writer.append_data(np.ascontiguousarray(frame[:height, :width]))

    def close(self) -> Path | None:
        """Finish the file."""
        if self._writer is None:
            return None
        writer, self._writer = self._writer, None
        writer.close()
        os.replace(self._part, self.path)
        return self.path


def open_recorder(path: Path | str, fps: float = 10.0) -> Recorder:
    """A recorder by the file's ending.

    Raises:
        UsageError: it is neither .mp4 nor .gif.
        MissingDependency: .mp4 needs imageio-ffmpeg.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".mp4":
        return Mp4(path, fps)
    if suffix == ".gif":
        return Gif(path, fps)
    raise UsageError(f"{path}: a recording is an .mp4 or a .gif file")


class Recording:
    """Closes a recorder whatever happens, so that what was driven until then is kept.

    Args:
        recorder: or None, which records nothing.
    """

    def __init__(self, recorder: Recorder | None) -> None:
        self.recorder = recorder
        self.path: Path | None = None

    def __enter__(self) -> Recording:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.recorder is not None:
            self.path = self.recorder.close()


def contact_sheet(
    rows: Sequence[Sequence[Image.Image]], columns: int = 5, size: int = 200, gap: int = 4
) -> Image.Image:
    """Frames of several drives on one picture: a row each, spread evenly over the drive, first and last among them.

    Args:
        rows: frames of each drive; a drive without any is passed over.
        columns: frames of a row, at least 2.
        size: of a frame in pixels.
        gap: between frames in pixels.

    Raises:
        ValueError: there is no frame at all.
    """
    kept = [row for row in rows if row]
    if not kept or columns < 2:
        raise ValueError("a contact sheet needs a frame and two columns")
    step = size + gap
    sheet = Image.new("RGB", (columns * step - gap, len(kept) * step - gap), (128, 128, 128))
    for line, frames in enumerate(kept):
        for column in range(columns):
            frame = frames[round(column * (len(frames) - 1) / (columns - 1))]
            sheet.paste(frame.resize((size, size), Image.Resampling.LANCZOS), (column * step, line * step))
    return sheet
