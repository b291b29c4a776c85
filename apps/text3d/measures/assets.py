"""Finished scenes on disk: the run folders that `generate` wrote, or pictures of scenes made elsewhere."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from apps.text3d.export.views import Seen, read_views
from apps.text3d.guidance.provenance import named_in
from common.errors import DataError
from common.files import locate, read_json

RESULT, PROMPT, VIEWS = "result.json", "prompt.txt", "views"
#: Scenes among which `generate --best_of` chose; the chosen one lies above them.
CANDIDATES = "candidates"
#: Of a guidance in `result.json`; where all are 0 it was never asked.
_WEIGHTS = ("weight", "semantic", "spatial", "consistency")


@dataclass(frozen=True)
class Asset:
    """One scene.

    Attributes:
        id: its folder below the one that was given.
        folder: where it lies.
        prompt: that it was made for.
        told: what `result.json` says; empty for scenes made elsewhere.
    """

    id: str
    folder: Path
    prompt: str
    told: Mapping[str, Any] = field(default_factory=dict)

    @property
    def note(self) -> str:
        """What must stand beside its figures, such as that the analytic critic shaped it."""
        return str(self.told.get("note") or "")

    @property
    def seen(self) -> bool:
        """Whether there are pictures of it."""
        return (self.folder / VIEWS).is_dir()

    def views(self) -> Seen:
        """Its pictures; see `read_views`."""
        return read_views(self.folder / VIEWS)

    def guided_by(self, kind: str, name: str) -> bool:
        """Whether a model had a part in shaping it: as a guidance, or as what a guiding reward asks.

        Args:
            kind: `clip` or `vlm`.
            name: its folder or hub id; empty for none.
        """
        guidance = self.told.get("guidance")
        if not name or not isinstance(guidance, Mapping):
            return False
        parts = {
            key: part
            for key, part in guidance.items()
            if isinstance(part, Mapping) and any(part.get(weight) for weight in _WEIGHTS)
        }
        own = parts.get(kind, {})
        found = [str(own.get("model") or own.get("name") or "")]
        for reward in (parts.get("own", {}).get("reward"), parts.get("sds", {}).get("judge")):
            found += [model for one, model in named_in(reward or {}) if one == kind]
        return _place(name) in map(_place, filter(None, found))


@dataclass(frozen=True)
class Assets:
    """What lies in a folder.

    Attributes:
        name: of the folder, as tables call it; of the run where that is its `scenes`.
        found: sorted by id.
        unfinished: folders of runs that were not finished; left out, and said.
    """

    name: str
    found: Sequence[Asset]
    unfinished: Sequence[str] = ()

    @property
    def prompts(self) -> list[str]:
        """The prompt of each; several seeds of one prompt repeat it."""
        return [asset.prompt for asset in self.found]

    def by_prompt(self) -> dict[str, list[Asset]]:
        """The scenes of each prompt."""
        groups: dict[str, list[Asset]] = defaultdict(list)
        for asset in self.found:
            groups[asset.prompt].append(asset)
        return dict(groups)


def read_assets(folder: Path | str) -> Assets:
    """Find all scenes in a folder, at any depth; the folder may be a single run's.

    A scene is a folder with `result.json`, as `generate` writes it, or with `prompt.txt` and pictures in `views/`
    (`00.png`, `01.png`, … at equal steps of azimuth, the first from the front). A folder with `prompt.txt` alone is a
    run that was not finished. Of the seeds of `generate --best_of` the chosen one counts alone.

    Raises:
        DataError: there is no such folder, no scene in it, or a `result.json` without a prompt; names it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError("no such folder; give one with runs of `generate`", path=folder)
    places = sorted({path.parent for name in (RESULT, PROMPT) for path in folder.rglob(name)})
    places = [place for place in places if CANDIDATES not in place.relative_to(folder).parts]
    found, unfinished = [], []
    for place in places:
        name = place.relative_to(folder).as_posix()
        name = folder.resolve().name if name == "." else name
        if (place / RESULT).is_file() or (place / VIEWS).is_dir():
            found.append(_read(name, place))
        else:
            unfinished.append(name)
    if not found:
        more = f"; {len(unfinished)} runs were not finished" if unfinished else ""
        raise DataError(
            f"no scene in it: a folder with {RESULT}, or with {PROMPT} and {VIEWS}/00.png, is one{more}", path=folder
        )
    # `train` keeps its scenes in a folder that is called so in every run.
    whole = folder.resolve()
    return Assets(whole.parent.name if whole.name == "scenes" else whole.name, found, unfinished)


def _read(name: str, place: Path) -> Asset:
    result = place / RESULT
    if not result.is_file():
        try:
            text = (place / PROMPT).read_text(encoding="utf-8").strip()
        except UnicodeDecodeError as error:
            raise DataError(f"not UTF-8 (byte {error.start})", path=place / PROMPT) from error
        if not text:
            raise DataError("the prompt is empty", path=place / PROMPT)
        return Asset(name, place, text)
    told = read_json(result)
    prompt = told.get("prompt") if isinstance(told, Mapping) else None
    if not isinstance(prompt, str) or not prompt.strip():
        raise DataError("it names no prompt; `generate` writes one", path=result)
    return Asset(name, place, prompt.strip(), told)


def _place(model: str) -> Path:
    """A model's folder, however it is written; a hub id is taken for one, which does no harm."""
    return locate(model.removeprefix("local-dir:")).resolve()
