"""`evaluate`: measure finished scenes, alone or beside those of other methods, and say what could not be measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.text3d.config import Text3dConfig
from common import ui
from common.errors import UsageError
from common.files import write_json

if TYPE_CHECKING:
    from apps.text3d.measures.assets import Assets
    from apps.text3d.measures.results import Figure, Measurement
    from apps.text3d.measures.tournament import Standing
    from common.models.clip import Clip
    from common.models.vlm import VisionLanguageModel

_MADE = " (`python -m apps.text3d pretrain --only clip-held-out`, or vlm-held-out, makes one for the pocket world)"
#: Answered comparisons, in the folder of the results; a second command goes on with them.
COMPARISONS = "comparisons.jsonl"


def run_evaluate(
    config: Text3dConfig,
    scenes: str,
    compare: Sequence[str] | None = None,
    prompts: str | None = None,
    out: str | None = None,
    json_output: bool = False,
) -> int:
    """Print a table, write `evaluation.json` and `report.html`.

    Args:
        config: the settings; `evaluate` says by which models and judges.
        scenes: folder of runs that `generate` wrote, or of scenes made elsewhere; see `measures.assets`.
        compare: folders of other methods' scenes of the same prompts: paired tests, and comparisons by the judge.
        prompts: file of a prompt set (`measures.prompt_sets`): the pool of R-precision; which of them have no scene is
            said.
        out: folder of the two files and of the judge's answers.
        json_output: print JSON instead of the tables.

    Returns:
        0, or 1 where something that was asked for could not be taken, such as by a judge that does not answer.

    Raises:
        DataError: scenes or prompts that cannot be read.
        UsageError: two folders of one name.
    """
    from apps.text3d.measures.assets import read_assets
    from apps.text3d.measures.evaluation_report import print_tables, tests_of, write_report
    from apps.text3d.measures.prompt_sets import read_prompts
    from common.training.run import set_threads

    set_threads(config.threads)
    methods = named([read_assets(folder) for folder in (scenes, *(compare or ()))])
    pool = read_prompts(prompts) if prompts else []
    models = _Models(config)
    found = [measure(config, name, assets, pool, models, json_output) for name, assets in methods.items()]
    own, others = found[0], found[1:]
    own.settings |= {"scenes": scenes, "compare": list(compare or ()), "prompts": prompts or ""}
    standing = compared(config, methods, Path(out) if out else None, json_output)
    told = own.to_dict() | {
        "others": [other.to_dict() for other in others],
        "tests": {other.name: {key: test.to_dict() for key, test in tests_of(other, own).items()} for other in others},
        "comparisons": standing.to_dict() if standing else None,
    }
    if out is not None:
        write_json(Path(out) / "evaluation.json", _plain(told))
        write_report(Path(out) / "report.html", own, others, standing, next(iter(methods.values())))
    if json_output:
        ui.print_json(told)
    else:
        print_tables(own, others, standing)
        if out is not None:
            ui.say(f"report: {Path(out) / 'report.html'}")
    return int(any(one.partial for one in found) or (standing is not None and standing.partial))


def named(found: Sequence[Assets]) -> dict[str, Assets]:
    """Methods by the name of their folder.

    Raises:
        UsageError: two have the same name.
    """
    methods = {assets.name: assets for assets in found}
    if len(methods) < len(found):
        raise UsageError("--scenes and --compare need folders of different names: tables call the methods by these")
    return methods


class _Models:
    """The second models, opened when they are first needed and once for all methods."""

    def __init__(self, config: Text3dConfig) -> None:
        self.config = config.evaluate
        self._clip: Clip | None = None
        self._vlm: VisionLanguageModel | None = None

    def clip(self) -> Clip:
        """The second CLIP."""
        from common.models.clip import Clip

        if self._clip is None:
            self._clip = Clip(self.config.clip.name, self.config.clip.pretrained or None, self.config.clip.device)
        return self._clip

    def vlm(self) -> VisionLanguageModel:
        """The second vision-language model."""
        from common.config import LanguageModelConfig
        from common.models.vlm import VisionLanguageModel

        if self._vlm is None:
            given = self.config.vlm
            self._vlm = VisionLanguageModel(
                LanguageModelConfig(path=given.model, device=given.device, dtype=given.dtype)
            )
        return self._vlm


def measure(
    config: Text3dConfig, name: str, assets: Assets, pool: Sequence[str], models: _Models, quiet: bool = False
) -> Measurement:
    """All figures of one method's scenes; what is not configured is absent with its reason."""
    from apps.text3d.measures.results import Measurement

    found = Measurement(name, [asset.id for asset in assets.found], assets.prompts)
    settings = config.evaluate
    found.settings = {
        "second CLIP": settings.clip.name or "none",
        "second VLM": settings.vlm.model or "none",
        "judge": settings.judge.model if settings.judge.url else "none",
        "unfinished runs": list(assets.unfinished),
        "prompts without a scene": [text for text in pool if text not in set(assets.prompts)],
    }
    _remark(found, assets)
    with ui.progress(f"measuring {name}", None, quiet):
        found.figures, found.alarms = _figures(config, assets, pool, models)
    found.alarms += [note for note in dict.fromkeys(asset.note for asset in assets.found) if note]
    return found


def _figures(
    config: Text3dConfig, assets: Assets, pool: Sequence[str], models: _Models
) -> tuple[list[Figure], list[str]]:
    from apps.text3d.measures.clip import measure_clip
    from apps.text3d.measures.consistency import measure_consistency
    from apps.text3d.measures.geometry import measure_geometry
    from apps.text3d.measures.marks import measure_marks
    from apps.text3d.measures.questions import measure_questions
    from apps.text3d.measures.results import absent
    from apps.text3d.measures.rubric import measure_rubric

    settings, scenes = config.evaluate, assets.found
    alarms: list[str] = []
    figures = measure_geometry(scenes)
    if settings.clip.name:
        more, alarms = measure_clip(models.clip(), scenes, pool, settings.clip.rank)
        figures += more
    else:
        figures.append(absent("clip", f"no second CLIP is configured; give evaluate.clip.name{_MADE}"))
    if settings.vlm.model:
        figures += measure_questions(models.vlm(), scenes, settings.vlm.views, settings.vlm.model)
    else:
        figures.append(absent("questions", f"no second VLM is configured; give evaluate.vlm.model{_MADE}"))
    figures += measure_consistency(scenes)
    for name, wanted in {"marks": settings.marks, "got": settings.rubric}.items():
        if not settings.judge.url:
            figures.append(absent(name, "no judge is configured; give evaluate.judge.url and evaluate.judge.model"))
        elif not wanted:
            figures.append(absent(name, f"not asked for; see evaluate.{'marks' if name == 'marks' else 'rubric'}"))
        elif name == "marks":
            figures += measure_marks(settings.judge, scenes, settings.shown)
        else:
            figures += measure_rubric(settings.judge, scenes)
    return figures, alarms


def compared(
    config: Text3dConfig, methods: dict[str, Assets], out: Path | None, quiet: bool = False
) -> Standing | None:
    """The judge's pairwise comparisons; None where there is no judge or nothing to compare with.

    Raises:
        UsageError: see `Tournament`.
    """
    from apps.text3d.measures.tournament import Tournament, matched

    settings = config.evaluate
    if len(methods) < 2 or not settings.judge.url:
        return None
    tournament = Tournament(
        settings.judge, settings.criteria, settings.shown, out / COMPARISONS if out else None, settings.resamples
    )
    if out is None:
        ui.warn("without --out the judge's answers are not kept, and an interrupted comparison begins anew")
    total = 2 * sum(1 for _ in matched(methods))
    with ui.progress("comparing", total, quiet) as bar:
        standing = tournament.play(methods, bar.advance)
    if standing.stopped:
        ui.warn(f"the judge does not answer ({standing.stopped}); give the same command again to go on")
    return standing


def _remark(found: Measurement, assets: Assets) -> None:
    if assets.unfinished:
        ui.warn(f"{found.name}: left out, because they were not finished: {', '.join(assets.unfinished[:5])}")
    lacking = found.settings["prompts without a scene"]
    if lacking:
        ui.warn(f"{found.name}: {len(lacking)} prompts of the set have no scene, such as {lacking[0]!r}")


def _plain(value: Any) -> Any:
    from common.training.run import plain

    return plain(value)
