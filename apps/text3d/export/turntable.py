"""Turntables as MP4 or GIF, and contact sheets: the prompt's text beside what cameras see."""

from __future__ import annotations

import bisect
import io
import logging
import math
import os
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from apps.text3d.cameras import orbit
from apps.text3d.scenes.base import Scene
from apps.text3d.scenes.density import device_of
from common.errors import UsageError
from common.files import write_bytes

if TYPE_CHECKING:
    from PIL.Image import Image

log = logging.getLogger(__name__)

Frames = NDArray[np.uint8]
_GAP, _TEXT_SIZE, _NOTE_SIZE, _LONGEST = 8, 14, 9, 600


@torch.no_grad()
def turn(scene: Scene, frames: int = 48, size: int = 128, elevation: float = 15.0, distance: float = 3.2) -> Frames:
    """Views all around a scene, from azimuth 0 on, one at a time.

    Args:
        scene: to render, over white.
        frames: for one turn, which ends where it began.
        size: pixels a side.
        elevation: in degrees.
        distance: in metres.

    Returns:
        `(frames, size, size, 3)` of 8 bits.
    """
    device = device_of(scene)
    found = []
    for row in range(frames):
        camera = orbit([360.0 * row / frames], elevation, distance, size=size).to(device)
        found.append(to_bytes(scene.render(camera).rgb))
    return np.concatenate(found)


def to_bytes(rgb: Tensor) -> Frames:
    """`(B, 3, H, W)` in [0, 1] as `(B, H, W, 3)` of 8 bits."""
    pixels = (rgb.detach().clamp(0, 1) * 255).round().to(torch.uint8)
    return pixels.permute(0, 2, 3, 1).contiguous().cpu().numpy()


def write_video(frames: Frames, path: Path | str, fps: float = 24.0, note: str = "") -> Path:
    """Write frames as .mp4 (H.264) or .gif, atomically.

    H.264 takes even sides only, so odd ones are continued by one line of pixels. Where ffmpeg is not installed or
    fails, a GIF is written in place of an MP4, and a message says so.

    Args:
        frames: `(T, H, W, 3)` of 8 bits.
        path: ends in .mp4 or .gif.
        fps: frames a second; a GIF keeps time in hundredths of a second.
        note: below every frame, such as "untrained demo weights", and the file's comment.

    Returns:
        The file that was written.

    Raises:
        UsageError: another ending, or no frames.
    """
    path = Path(path)
    if path.suffix.lower() not in (".mp4", ".gif"):
        raise UsageError(f"{path}: a turntable is an .mp4 or a .gif file")
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or not len(frames) or fps <= 0:
        raise UsageError(f"a turntable needs frames (T, H, W, 3) of 8 bits; these are {frames.dtype} {frames.shape}")
    if note:
        frames = labelled(frames, note)
    if path.suffix.lower() == ".mp4":
        try:
            return _write_mp4(frames, path, fps, note)
        except (ImportError, RuntimeError, OSError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            path = path.with_suffix(".gif")
            log.warning("no MP4 without ffmpeg (%s); writing %s; pip install 'imageio[ffmpeg]'", reason, path.name)
    return write_bytes(path, _gif(frames, fps, note))


def labelled(frames: Frames, note: str) -> Frames:
    """`(T, H + h, W, 3)`: frames with a note below them, on as many lines as it takes."""
    from PIL import Image, ImageDraw

    width = frames.shape[2]
    font = _font(_NOTE_SIZE)
    lines, tall = _wrapped(note, font, width - 4), math.ceil(1.25 * _NOTE_SIZE)
    strip = Image.new("RGB", (width, tall * len(lines) + 4), "white")
    for row, line in enumerate(lines):
        ImageDraw.Draw(strip).text((2, 2 + row * tall), line, fill="black", font=font)
    below = np.broadcast_to(np.asarray(strip), (len(frames), strip.height, width, 3))
    return np.concatenate([frames, below], 1)


def contact_sheet(
    rows: Sequence[tuple[str, Frames]], captions: Sequence[str] = (), note: str = "", text_width: int = 160
) -> Image:
    """A picture with one row for each prompt: its text, and the views beside it.

    Args:
        rows: a prompt, of which 600 characters are shown, and its views, `(V, H, W, 3)` of 8 bits, all of one size.
        captions: above the columns, such as azimuths.
        note: below all rows, such as "untrained demo weights".
        text_width: pixels for the prompts.

    Raises:
        UsageError: there are no rows, or their views are not of one size.
    """
    from PIL import Image, ImageDraw

    sizes = {views.shape[1:] for _, views in rows}
    if len(sizes) != 1 or any(views.ndim != 4 or views.dtype != np.uint8 for _, views in rows):
        raise UsageError(f"a contact sheet needs views (V, H, W, 3) of one size; these are of {sorted(sizes)}")
    height, width, _ = sizes.pop()
    columns = max(len(views) for _, views in rows)
    font = _font(_TEXT_SIZE)
    shown = [text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…" for text, _ in rows]
    texts = [_wrapped(text, font, text_width - 2 * _GAP) for text in shown]
    line = math.ceil(1.3 * _TEXT_SIZE)
    heights = [max(height, line * len(lines)) + _GAP for lines in texts]
    top = line + _GAP if captions else _GAP
    whole = (text_width + columns * (width + _GAP), top + sum(heights) + (line if note else 0))
    sheet = Image.new("RGB", whole, "white")
    draw = ImageDraw.Draw(sheet)
    for column, caption in enumerate(captions[:columns]):
        draw.text((text_width + column * (width + _GAP), _GAP // 2), caption, fill="black", font=font)
    for (_, views), lines, tall in zip(rows, texts, heights, strict=True):
        for number, text in enumerate(lines):
            draw.text((_GAP, top + number * line), text, fill="black", font=font)
        for column, view in enumerate(views):
            sheet.paste(Image.fromarray(view), (text_width + column * (width + _GAP), top))
        top += tall
    if note:
        draw.text((_GAP, top), note, fill="black", font=font)
    return sheet


def write_contact_sheet(
    rows: Sequence[tuple[str, Frames]], path: Path | str, captions: Sequence[str] = (), note: str = ""
) -> Path:
    """Write a contact sheet as PNG, atomically; see `contact_sheet`."""
    data = io.BytesIO()
    contact_sheet(rows, captions, note).save(data, "PNG")
    return write_bytes(path, data.getvalue())


def _write_mp4(frames: Frames, path: Path, fps: float, note: str) -> Path:
    import imageio.v2
    import imageio_ffmpeg

    imageio_ffmpeg.get_ffmpeg_exe()  # raises where there is none, before anything is written
    height, width = frames.shape[1:3]
    even = np.pad(frames, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), "edge")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        part = Path(folder) / "part.mp4"
        options: dict[str, Any] = {"fps": fps, "codec": "libx264", "macro_block_size": 1, "ffmpeg_log_level": "error"}
        if note:
            options["output_params"] = ["-metadata", f"comment={note}"]
        writer: Any = imageio.v2.get_writer(part, format="FFMPEG", **options)
        with writer:
            for frame in even:
                writer.append_data(np.ascontiguousarray(frame))
        os.replace(part, path)
    return path


def _gif(frames: Frames, fps: float, note: str = "") -> bytes:
    from PIL import Image

    first, *others = (Image.fromarray(frame) for frame in frames)
    data = io.BytesIO()
    duration = max(round(100 / fps), 2) * 10  # in milliseconds; viewers take less than 20 for 100
    # A frame equal to the one before stays a frame of its own, so that the turn has the length that was asked for.
    extra: dict[str, Any] = {"comment": note.encode()} if note else {}
    first.save(data, "GIF", save_all=True, append_images=others, duration=duration, loop=0, optimize=False, **extra)
    return data.getvalue()


def _font(size: int) -> Any:
    """DejaVu, which comes with matplotlib and has Latin, Greek and Cyrillic letters."""
    from matplotlib.font_manager import findfont
    from PIL import ImageFont

    return ImageFont.truetype(findfont("DejaVu Sans"), size)


def _length(font: Any, text: str, size: int) -> float:
    """Pixels of a text's first letters."""
    return float(font.getlength(text[:size]))


def _wrapped(text: str, font: Any, width: float) -> list[str]:
    """Lines no wider than this many pixels; a word that is wider by itself is cut."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
        while font.getlength(lines[-1]) > width and len(lines[-1]) > 1:
            # By halves: a word may have thousands of letters.
            fits = bisect.bisect_right(range(1, len(lines[-1])), width, key=partial(_length, font, lines[-1]))
            lines[-1:] = [lines[-1][: max(fits, 1)], lines[-1][max(fits, 1) :]]
    return lines
