"""Every way of asking, by its name in `phrasings`."""

from __future__ import annotations

from collections.abc import Callable

from apps.medvqa.pocket import closed, open_ended
from apps.medvqa.pocket.draft import Draft
from apps.medvqa.pocket.sampling import Sampler

MAKERS: dict[str, Callable[[Sampler], Draft]] = {
    "presence": closed.presence,
    "absence": closed.absence,
    "presence at": closed.presence_at,
    "normality": closed.normality,
    "any": closed.any_abnormality,
    "which side": closed.which_side,
    "which kind": closed.which_kind,
    "which size": closed.which_size,
    "shadow": closed.shadow,
    "shift": closed.shift,
    "brightness": closed.brightness,
    "abnormality": open_ended.abnormality,
    "side": open_ended.side,
    "zone": open_ended.zone,
    "location": open_ended.location,
    "size": open_ended.size,
    "count": open_ended.count,
    "modality": open_ended.modality,
    "organ": open_ended.organ,
    "description": open_ended.description,
    "any kind": open_ended.any_kind,
}
