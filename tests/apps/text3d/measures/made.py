"""Folders of finished scenes, drawn exactly, and judges that look at the pictures they are sent."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from apps.text3d.export.views import write_views
from apps.text3d.pocket.prompts import worlds
from apps.text3d.pocket.sdf_scene import SdfScene
from apps.text3d.pocket.world import World
from apps.text3d.prompts import parse
from common.config import JudgeConfig
from common.files import write_json, write_text

RED, GREEN, BLUE = "a red cube", "a green cone", "a blue torus"
RIGHT = {"object": 1.0, "colour": 1.0, "count": 1.0, "relation": None, "correct": True}
WRONG = {"object": 1.0, "colour": 0.0, "count": 1.0, "relation": None, "correct": False}


@cache
def world(prompt: str) -> World:
    return worlds([parse(prompt)])[0]


def scene(
    folder: Path,
    prompt: str,
    shows: str | None = None,
    geometry: Mapping[str, Any] | None = RIGHT,
    views: int = 4,
    size: int = 32,
    **told: Any,
) -> Path:
    """A run's folder whose scene shows `shows`, the prompt itself by default."""
    write_views(SdfScene(world(shows or prompt)), folder / "views", views, size)
    write_text(folder / "prompt.txt", prompt)
    result = {"prompt": prompt, "note": "", "guidance": {}, "geometry": geometry, "reasons": [], **told}
    write_json(folder / "result.json", result)
    return folder


def endpoint(url: str, **more: Any) -> JudgeConfig:
    return JudgeConfig(**{"url": url, "model": "fake-eye", "timeout": 10.0, "retries": 1, "concurrency": 4, **more})


def told(body: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON object of a question."""
    return json.loads(body["messages"][1]["content"][0]["text"].split("\n")[0])


def pictures(body: Mapping[str, Any]) -> list[np.ndarray]:
    """The pictures of a question, `(H, W, 3)` in [0, 1]."""
    urls = [part["image_url"]["url"] for part in body["messages"][1]["content"][1:]]
    files = [base64.b64decode(url.removeprefix("data:image/png;base64,")) for url in urls]
    return [np.asarray(Image.open(io.BytesIO(file)).convert("RGB")) / 255 for file in files]


def redness(picture: np.ndarray) -> float:
    """Share of pixels that are red rather than grey, green or blue."""
    red, green, blue = picture[..., 0], picture[..., 1], picture[..., 2]
    return float(((red > 0.4) & (green < 0.25) & (blue < 0.25)).mean())
