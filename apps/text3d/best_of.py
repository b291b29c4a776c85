"""`generate --best_of N`: a scene of each of N seeds, and the best of them by a score that has no gradient.

Every scene is kept, as a run of its own, below `candidates/`; the chosen one's files lie in the run's folder, beside a
contact sheet of all. Choosing is a reward too: where the judge of geometry chooses, its figures are those of the best
of N.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.text3d.config import Text3dConfig
from apps.text3d.guidance.provenance import used
from apps.text3d.judging import MEASURES
from apps.text3d.measures.assets import CANDIDATES
from common import ui
from common.errors import UsageError
from common.files import read_json, write_bytes, write_json

if TYPE_CHECKING:
    from apps.text3d.guidance.build import Models
    from apps.text3d.prompts.prompt import Prompt
    from common.training.run import Run

#: How many seeds a run was asked for.
FILE = "best_of.json"
GEOMETRY, WORDING = "the judge of geometry", "the guidances' own models, asked in other words"
#: What the run's folder has of the chosen one.
_BROUGHT = ("scene.*", "splats.ply", "turntable.*", "views/*")


def count_in(folder: Path) -> int:
    """How many seeds the run of this folder was asked for; 0 where it is no such run."""
    return int(read_json(folder / FILE)["count"]) if (folder / FILE).is_file() else 0


def run_best(
    config: Text3dConfig,
    prompt: str | None,
    count: int,
    resume: str | None = None,
    name: str | None = None,
    json_output: bool = False,
    given: Sequence[str] = (),
) -> int:
    """Shape a scene of each seed from `config.seed` on, score them, and take the best; what is done is not done again.

    Args:
        config: the settings.
        prompt: what to show; None with `resume`.
        count: of seeds.
        resume: folder of an interrupted run, in place of a prompt; its settings are taken.
        name: of the run folder.
        json_output: print JSON instead of a table.
        given: settings as they were typed; with `resume` there may be none.

    Raises:
        UsageError: nothing here could score such a scene, or a run is to go on otherwise than it began.
        SceneFailure: no seed gave a scene, or an optimisation went wrong in another way than by emptying it.
    """
    from apps.text3d.generate import anything, begin, note, read, show
    from apps.text3d.guidance.build import Models
    from common.config import load
    from common.training.run import Run, set_threads

    if resume is not None:
        run = Run.resume(resume)
        if given or not (kept := count_in(run.folder)):
            raise UsageError(
                f"{resume}: a choice among seeds goes on as it began, with no other settings; one of its scenes goes "
                f"on longer by --resume {run.folder / CANDIDATES / 'SEED'}"
            )
        config, count = load(Text3dConfig, run.folder / "config.yaml"), kept
        prompt = (run.folder / "prompt.txt").read_bytes().decode()
    assert prompt is not None
    wanted = read(prompt, anything(config))
    by = scorer(config, wanted)
    if resume is None:
        run = begin(config, prompt, name)
        write_json(run.folder / FILE, {"count": count})
    set_threads(config.threads)
    models = Models()
    folders = [_made(config, prompt, run, config.seed + number, models) for number in range(count)]
    _choose(config, wanted, run, folders, by, scores_of(config, wanted, folders, by, models))
    show(run.folder, note(config), json_output)
    return 0


def scorer(config: Text3dConfig, prompt: Prompt) -> str:
    """Who chooses: GoT-R1's scores where a judge is named, else the judge of geometry where it knows the prompt's
    things, else the second wording's critic.

    Raises:
        UsageError: there is none of them, or the judge's settings lack something.
    """
    if config.evaluate.judge.url:
        from apps.text3d.measures.got import GotJudge

        GotJudge(config.evaluate.judge)  # before the scenes and not after them it is told what is missing
        return f"GoT-R1's scores of picture and layout, judge {config.evaluate.judge.model}"
    if prompt.understood:
        return GEOMETRY
    vlm, clip = config.guidance.vlm, config.guidance.clip
    weights = {"clip.weight": clip.weight, **{f"vlm.{kind}": getattr(vlm, kind) for kind in ("semantic", "spatial")}}
    if any(used(weight, f"guidance.{option}") for option, weight in weights.items()):
        return WORDING
    if prompt.objects:
        return GEOMETRY
    raise UsageError(
        "--best_of: nothing here can say which scene is the best: name a judge that sees pictures "
        "(--evaluate.judge.url, --evaluate.judge.model), or let CLIP or a VLM guide"
    )


def scores_of(config: Text3dConfig, prompt: Prompt, folders: Sequence[Path], by: str, models: Models) -> list[float]:
    """The score of each candidate, higher is better; NaN where it has none: no scene, or a judge that failed."""
    told = [read_json(folder / "result.json") for folder in folders]
    if by == GEOMETRY:
        return [_share(one) for one in told]
    there = [row for row, one in enumerate(told) if one["steps"]]
    found = dict.fromkeys(range(len(told)), math.nan)
    if by == WORDING:
        from apps.text3d.export.kept import SCENE, read_scene
        from apps.text3d.guidance.build import build
        from apps.text3d.optimisation.critics import second_wording

        critic = second_wording(prompt, build(config.guidance, prompt, config.seed, models), config.optimise.last_side)
        assert critic is not None
        return list((found | {row: critic(read_scene(folders[row] / SCENE).scene) for row in there}).values())
    from apps.text3d.measures.assets import Asset
    from apps.text3d.measures.got import GotJudge
    from apps.text3d.measures.rubric import candidate

    assets = [candidate(Asset(folders[row].name, folders[row], prompt.text)) for row in there]
    for row, asset, score in zip(there, assets, GotJudge(config.evaluate.judge).score(assets), strict=True):
        # Without reasoning there is no R_sem, and without a plan no R_RI: what is left of the product.
        found[row] = score.picture if asset.planned is None else score.picture * score.layout
    return list(found.values())


def _share(told: dict[str, Any]) -> float:
    if not told["steps"]:
        return math.nan
    shares = [share for name in MEASURES if (share := told["geometry"][name]) is not None]
    return sum(shares) / len(shares) if shares else math.nan


def _made(config: Text3dConfig, prompt: str, run: Run, seed: int, models: Models) -> Path:
    """One seed's scene, from where it was left; one that its guidances emptied is kept as that."""
    from apps.text3d.generate import shape_once

    own = deepcopy(config)
    own.seed = seed
    place = run.folder / CANDIDATES / f"seed-{seed}"
    ui.say(f"seed {seed}")
    shape_once(own, prompt, place, run.resume_command, models)
    return place


def _choose(
    config: Text3dConfig, prompt: Prompt, run: Run, folders: Sequence[Path], by: str, scores: Sequence[float]
) -> None:
    """Bring the best one's files into the run's folder, and all of them onto the contact sheet; `result.json` last."""
    from apps.text3d.measures.got import best_of
    from apps.text3d.optimisation.learner import SceneFailure

    best = best_of(scores)
    if best is None:
        raise SceneFailure(f"no scene has a score by {by}; the scenes lie in {run.folder / CANDIDATES}")
    picked = folders[best]
    for path in sorted(path for pattern in _BROUGHT for path in picked.glob(pattern)):
        write_bytes(run.folder / path.relative_to(picked), path.read_bytes())
    _sheet(config, prompt, run.folder, folders, scores, best)
    named = {folder.name: None if math.isnan(one) else one for folder, one in zip(folders, scores, strict=True)}
    told = read_json(picked / "result.json") | {"best_of": {"by": by, "scores": named, "picked": picked.name}}
    write_json(run.folder / "result.json", told)


def _sheet(
    config: Text3dConfig, prompt: Prompt, folder: Path, folders: Sequence[Path], scores: Sequence[float], best: int
) -> None:
    import numpy as np

    from apps.text3d.export.kept import SCENE, read_scene
    from apps.text3d.export.outputs import looks, turns
    from apps.text3d.export.turntable import write_contact_sheet
    from apps.text3d.generate import note

    size, rows = config.export.size, []
    for at, (place, score) in enumerate(zip(folders, scores, strict=True)):
        there = (place / SCENE).is_file()
        blank = np.full((config.export.views, size, size, 3), 255, np.uint8)
        said = "no score" if math.isnan(score) else f"{score:.3f}"
        title = f"{place.name}: {said}{', picked' if at == best else ''}. {prompt.text}"
        rows.append((title, looks(read_scene(place / SCENE).scene, config) if there else blank))
    write_contact_sheet(rows, folder / "sheet.png", turns(config), note(config))
