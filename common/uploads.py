"""What a visitor of a demo uploads: kept in a private folder, read once within limits, and removed."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import tempfile
from pathlib import Path

from common.errors import DataError, UsageError

#: Where a page says nothing of uploads it has none; gradio's upload address is open all the same. Bytes.
LARGEST_OTHERWISE = 100_000
_PLACE = "GRADIO_TEMP_DIR"


def private_folder() -> Path:
    """Where uploads lie: a folder that only this user can read, removed with all in it when the program ends.

    Gradio's own is /tmp/gradio, which all users of a machine share and nobody removes. It takes another from an
    environment variable alone; one that is set already stays, and its folder is the user's to remove.
    """
    if not os.environ.get(_PLACE):
        folder = tempfile.mkdtemp(prefix="touchstone-demo-")
        os.environ[_PLACE] = folder
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(os.environ[_PLACE])


def take_upload(path: str | Path, folder: str | Path, largest: int) -> tuple[str, bytes]:
    """Name and bytes of an uploaded file; the file is removed, whatever becomes of it.

    Args:
        path: the file.
        folder: where uploads lie; nothing outside it is read or removed.
        largest: bytes.

    Raises:
        UsageError: the file lies elsewhere.
        DataError: too many bytes. The message names the file as the visitor does, not where it lies here.
    """
    path = inside(path, folder)
    try:
        check_size(path, largest)
        return path.name, path.read_bytes()
    finally:
        discard(path, folder)


def discard(path: Path, folder: str | Path) -> None:
    """Remove an uploaded file that lies `inside` the folder, and the folder of its own."""
    path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # two uploads of one content share a folder
        if path.parent != Path(folder).resolve():
            path.parent.rmdir()


def inside(path: str | Path, folder: str | Path) -> Path:
    """The path, resolved.

    Raises:
        UsageError: it is no file inside the folder.
    """
    path, folder = Path(path).resolve(), Path(folder).resolve()
    if folder not in path.parents or not path.is_file():
        raise UsageError("only a file that was uploaded here can be opened")
    return path


def check_size(path: Path, largest: int) -> None:
    """Raise `DataError` where a file has more bytes."""
    if path.stat().st_size > largest:
        raise DataError(f"larger than {largest // 1_000_000} MB", path=path.name)
