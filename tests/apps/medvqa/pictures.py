"""Pictures as files that a visitor of the demo may upload."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from apps.medvqa.viewer import View
from tests.common.dicom.dicoms import dicom


def ct(**fields: Any) -> bytes:
    """A CT of -1000 to 1500 Hounsfield units, from top to bottom, that is to be shown through 40, 80."""
    values = np.repeat(np.linspace(0, 2500, 64).astype(np.uint16)[:, None], 48, axis=1)
    about = {"Modality": "CT", "RescaleSlope": 1, "RescaleIntercept": -1000, "RescaleType": "HU"}
    return dicom(values, **{**about, "WindowCenter": 40, "WindowWidth": 80, **fields})


def png(mode: str = "RGB", size: tuple[int, int] = (30, 20), colour: Any = 0, kind: str = "PNG") -> bytes:
    file = BytesIO()
    Image.new(mode, size, colour).save(file, kind)
    return file.getvalue()


def uploaded(folder: Path, name: str, content: bytes) -> Path:
    """A file as gradio lays uploads down: in a folder of its own."""
    path = folder / "0123abcd" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path


def grey(view: View, window: Any = None) -> np.ndarray:
    return np.asarray(view.seen(window))[:, 0, 0].astype(int)
