"""What `python -m apps audit` asks of this application: its rewards, and others', on scenes of the pocket world."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from apps.text3d.auditing.assay import EXACT, REWARD, Line, Steadiness
from apps.text3d.config import Text3dConfig
from common.assays import NONE, Assay, Overview, Request
from common.config import load

#: The sum that the pocket config pays for, its parts, and CLIP's cosine beside it.
NAMES = (REWARD, "vlm.semantic", "vlm.spatial", "clip")
#: Scenes of seen combinations, and as many of held-out ones.
ROWS = 3
#: What a reward of somebody else finds under usual names: it sees one Pillow picture a row, see `auditing.foreign`.
COLUMNS = {"completion": "prompt", "text": "prompt", "caption": "prompt", "image": "images"}
NOTE = (
    "the truth is what perfect answers to the same questions come to, so that CLIP has none; a row's cost is that of "
    "all parts together"
)
NOTE_OWN = (
    "it is shown one view at a time beside the prompt, and a row's value is the mean of its views; the truth is what "
    "perfect answers to this application's questions come to"
)
KEY = "prompt"
CONFIG = Path(__file__).resolve().parents[2] / "configs" / "text3d" / "pocket.yaml"


def assays(request: Request) -> Overview:
    """Assay the reward and its parts, each of which is a line of one audit, and rewards of somebody else."""
    from apps.text3d.audit import audit_reward
    from apps.text3d.auditing.cases import subjects
    from apps.text3d.auditing.foreign import audit_foreign
    from apps.text3d.rewards import build_reward
    from common.training.run import set_threads

    config = replace(load(Text3dConfig, CONFIG), seed=request.seed)
    set_threads(config.threads)
    those = subjects(config.audit, request.rows, request.seed)
    clip = replace(config.reward.clip, weight=1.0, name=config.guidance.clip.name)
    silent = replace(config.reward.vlm, semantic=0.0, spatial=0.0, consistency=0.0)
    asked = {
        (REWARD, "vlm.semantic", "vlm.spatial"): config.reward,
        ("clip",): replace(config.reward, vlm=silent, clip=clip),
    }
    config = replace(config, audit=replace(config.audit, judged=0))
    found: list[Assay] = []
    for names, settings in asked.items():
        if set(names) & set(request.names):
            audit = audit_reward(build_reward(settings), those, config, request.quiet)
            found += [
                _told(name, line, audit.steady, audit.flags if name in (REWARD, "clip") else line.general.flags)
                for name, line in audit.lines.items()
                if name in request.names and name != EXACT and not (names == ("clip",) and name == REWARD)
            ]
    if request.own:
        usual = build_reward(config.reward)
        found += [
            _told(name, *audit_foreign(name, one, those, usual, config.reward.batch_size, request.quiet))
            for name, one in request.own.items()
        ]
    return Overview(found, [*([NOTE] if request.names else []), *([NOTE_OWN] if request.own else []), *those.notes])


def _told(name: str, line: Line, steady: Steadiness, flags: object) -> Assay:
    general = line.general
    hacks = {"blank", "noise", "injected", "ordered in the prompt"}
    kills = {one.operator: one.killed for one in general.mutations}
    return Assay(
        name,
        general.rows,
        {operator: killed for operator, killed in kills.items() if operator not in hacks},
        line.facts,
        {operator: killed for operator, killed in kills.items() if operator in hacks},
        line.hacks,
        line.collapse.collapse,
        general.agreement.pairwise if general.agreement is not None else NONE,
        line.length.slope,
        line.length.gaining,
        1e3 * steady.seconds,
        list(flags),  # type: ignore[call-overload]
    )
