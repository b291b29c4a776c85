"""Finds the pictures' files: data sets name them relative to a folder that is laid out anew by every mirror."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from apps.medvqa.reading.vocabulary import split_name
from common.errors import DataError

#: Endings of files that are taken for pictures, lower case.
SUFFIXES = frozenset(
    [
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".jp2"),
        *(".ppm", ".pgm", ".pnm", ".dcm", ".dicom"),
    ]
)


class PictureFolder:
    """All pictures below a folder, found by the end of their paths, by their names, or by their names' stems.

    Args:
        folder: where to look.

    Raises:
        DataError: there is no such folder.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise DataError("no such folder of pictures; correct `pictures`", path=folder)
        self.folder = folder
        self._names: dict[str, list[Path]] = {}
        self._stems: dict[str, list[Path]] = {}
        for place, folders, names in os.walk(folder):
            folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
            for name in sorted(names):
                stem, suffix = os.path.splitext(name.lower())
                if suffix in SUFFIXES and not name.startswith("."):
                    self._names.setdefault(name.lower(), []).append(Path(place) / name)
                    self._stems.setdefault(stem, []).append(Path(place) / name)

    def find(self, name: str, split: str = "") -> Path:
        """The file that a data set calls `name`.

        Args:
            name: a file's name with or without ending and folders; letter case does not matter.
            split: of several files of that name the one in a folder of this split is meant.

        Raises:
            DataError: there is no such file, it is empty, or several are meant; the message says which.
        """
        wanted = PurePosixPath(name.replace("\\", "/"))
        folders = [part.lower() for part in wanted.parts[:-1] if part != "/"]
        found = self._names.get(wanted.name.lower()) or self._stems.get(wanted.name.lower()) or []
        fits = {file: self._shared(file, folders) for file in found}
        closest = max([0, *fits.values()])
        found = [file for file, shared in fits.items() if shared >= closest]
        if len(found) > 1:
            inside = [file for file in found if split in map(split_name, map(str.lower, file.parts[:-1]))]
            found = inside or found
        if not found:
            raise DataError(f"no picture {name!r} in {self.folder}")
        if len(found) > 1:
            places = ", ".join(str(file.relative_to(self.folder)) for file in found[:3])
            raise DataError(f"several pictures are called {name!r}: {places}")
        if not found[0].stat().st_size:
            raise DataError(f"the picture {found[0]} is empty")
        return found[0]

    def _shared(self, file: Path, folders: list[str]) -> int:
        """How many folders a file's path and a name share, from the end; -1 where the two contradict each other."""
        own = [part.lower() for part in file.relative_to(self.folder).parts[:-1]]
        depth = min(len(own), len(folders))
        return depth if own[len(own) - depth :] == folders[len(folders) - depth :] else -1
