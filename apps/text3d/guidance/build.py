"""The configured guidances of one prompt."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from apps.text3d.cameras import Cameras
from apps.text3d.guidance.base import Guidance, Term, Weighted
from apps.text3d.guidance.front import settled
from apps.text3d.guidance.prompts import angles
from apps.text3d.guidance.vlm import Question, VlmReward
from apps.text3d.guidance_config import ClipConfig, GuidanceConfig, OwnConfig, SdsConfig, VlmConfig
from apps.text3d.prompts import questions as ask
from apps.text3d.prompts.prompt import Prompt
from common.errors import UsageError
from common.schedule import Schedule, read_schedule

if TYPE_CHECKING:
    from apps.text3d.guidance.preference import Judge
    from common.models.vlm import VisionLanguageModel
    from common.rewards.base import Reward


class Models:
    """Models that were opened for one scene, for the next one."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, ...], Any] = {}

    def get(self, key: tuple[str, ...], load: Callable[[], Any]) -> Any:
        """The model of a key, loaded where nobody asked for it before."""
        if key not in self._open:
            self._open[key] = load()
        return self._open[key]


#: The kinds of a VLM's questions, as `VlmConfig` weights them.
KINDS = ("semantic", "spatial", "consistency")


def build(config: GuidanceConfig, prompt: Prompt, seed: int, models: Models | None = None) -> Weighted:
    """The weighted sum of all guidances whose weight is not always 0.

    Args:
        config: the settings; what they leave to the prompt is settled by it, see `guidance.front`.
        prompt: parsed; diffusion models and CLIP read its text, the VLM and the critic its things and relations.
        seed: of the guidances' own noise, and of the critic's layout.
        models: that are open already; more are added.

    Raises:
        UsageError: no guidance has a weight, or one that has names no model.
    """
    models, config = models or Models(), settled(config, prompt)
    terms: dict[str, Term] = {}

    def add(name: str, weight: Any, make: Callable[[], Guidance]) -> None:
        schedule = read_schedule(weight, f"guidance.{name}")
        if any(schedule.bounds):
            terms[name] = Term(make(), schedule)

    add("sds", config.sds.weight, lambda: _distillation(config.sds, prompt, seed, models))
    add("clip", config.clip.weight, lambda: _clip(config.clip, prompt, models))
    for name, guidance, schedule in _vlm(config.vlm, prompt, seed, models):
        terms[name] = Term(guidance, schedule)
    add("analytic", config.analytic, lambda: _analytic(prompt, seed))
    add("own", config.own.weight, lambda: own(config.own, prompt, models))
    return Weighted(terms)


def asked(kind: str, prompt: Prompt) -> Callable[[Cameras], Sequence[Question]]:
    """A VLM's questions of one of `KINDS` for a batch of cameras; left and right are turned into each one's frame.

    Only those that are answered with yes or no: a colour among several has no log-odds of yes.
    """

    def of_cameras(cameras: Cameras) -> list[Question]:
        if kind == "consistency":
            return _yes_no(ask.consistency(), None)
        rows = list(enumerate(angles(cameras)[0]))
        if kind == "semantic":
            front = tuple(row for row, azimuth in rows if ask.told_from(prompt, azimuth))
            whole = [replace(one, views=front) for one in _yes_no([ask.whole(prompt)], None)]
            return [*whole, *_yes_no(ask.semantic(prompt, contrasts=True), None)]
        return [one for row, azimuth in rows for one in _yes_no(ask.spatial(prompt, float(azimuth)), row)]

    return of_cameras


def _yes_no(found: Sequence[ask.Question], row: int | None) -> list[Question]:
    return [_reworded(one, row) for one in found if set(one.choices) == {ask.YES, ask.NO}]


def _reworded(one: ask.Question, row: int | None) -> Question:
    return Question(
        one.text,
        one.expected == ask.YES,
        views=None if row is None else (row,),
        together=one.fact == "consistency",
        name=one.fact,
    )


def _distillation(config: SdsConfig, prompt: Prompt, seed: int, models: Models) -> Guidance:
    from apps.text3d.guidance.distillation import DistillationSettings, ScoreDistillation
    from apps.text3d.guidance.preference import PreferenceDistillation
    from apps.text3d.guidance.prior import load_prior
    from apps.text3d.guidance.prompts import other_directions, view_dependent

    _needed("sds.model", config.model)
    settings = DistillationSettings(
        form=config.form,
        scale=config.scale,
        t_min=read_schedule(config.t_min, "guidance.sds.t_min"),
        t_max=read_schedule(config.t_max, "guidance.sds.t_max"),
        weighting=config.weighting,
        rescale=config.rescale,
        same_timestep=config.same_timestep,
        rows_at_once=config.rows_at_once,
        seed=seed,
    )
    key = ("sds", config.model, config.device, config.dtype)
    given = (
        models.get(key, lambda: load_prior(*key[1:], option="guidance.sds.model")),
        view_dependent(prompt.text) if config.view_dependent else prompt.text,
        config.negative,
        other_directions(prompt.text, config.perp_neg) if config.perp_neg else None,
        settings,
    )
    if config.judge:
        return PreferenceDistillation(*given, judge=judge(config, prompt, models), gap=config.gap)
    return ScoreDistillation(*given)


def judge(config: SdsConfig, prompt: Prompt, models: Models) -> Judge:
    """The reward of `guidance.sds.judge`; its models are opened by the first step.

    Raises:
        UsageError: it reads what a view has not, or what `common.rewards.build` says of it.
    """
    from apps.text3d.guidance.preference import RewardJudge

    return RewardJudge(_reward(config.judge, models), prompt.text)


def _reward(spec: Mapping[str, Any], models: Models) -> Reward:
    from common.rewards.build import build as build_reward

    return models.get(("reward", repr(spec)), lambda: build_reward(spec))  # type: ignore[no-any-return]


def _clip(config: ClipConfig, prompt: Prompt, models: Models) -> Guidance:
    from apps.text3d.guidance.clip import ClipGuidance
    from common.models.clip import Clip

    _needed("clip.name", config.name)
    key = ("clip", config.name, config.pretrained, config.device)
    clip = models.get(key, lambda: Clip(config.name, config.pretrained or None, config.device))
    _opened("clip.name", lambda: clip.dim)
    return ClipGuidance(clip, prompt.text, config.sparsity)


def _vlm(config: VlmConfig, prompt: Prompt, seed: int, models: Models) -> list[tuple[str, Guidance, Schedule]]:
    """A term for each kind of question that has a weight; they share one model."""
    weights = {kind: read_schedule(getattr(config, kind), f"guidance.vlm.{kind}") for kind in KINDS}
    wanted = {kind: schedule for kind, schedule in weights.items() if any(schedule.bounds)}
    if not wanted:
        return []
    key = ("vlm", config.model, config.device, config.dtype)
    vlm, checked = models.get(key, lambda: _model(config)), models.get((*key, "checked"), set)

    def reward(kind: str) -> VlmReward:
        return VlmReward(
            vlm,
            asked(kind, prompt),
            config.form,
            config.saturation,
            per_step=config.per_step,
            seed=seed,
            at_once=config.at_once,
            checked=checked,
        )

    return [(f"vlm.{kind}", reward(kind), schedule) for kind, schedule in wanted.items()]


def _model(config: VlmConfig) -> VisionLanguageModel:
    from common.config import LanguageModelConfig
    from common.models.vlm import VisionLanguageModel

    _needed("vlm.model", config.model)
    vlm = VisionLanguageModel(LanguageModelConfig(path=config.model, device=config.device, dtype=config.dtype))
    _opened("vlm.model", lambda: vlm.preprocess)
    return vlm


def _analytic(prompt: Prompt, seed: int) -> Guidance:
    from apps.text3d.guidance.analytic import AnalyticCritic

    return AnalyticCritic(prompt, seed=seed)


def own(config: OwnConfig, prompt: Prompt, models: Models) -> Guidance:
    """The reward of `guidance.own`; its models are opened by the first step.

    Raises:
        UsageError: there is none, it cannot guide a scene, or what `common.rewards.build` says of it.
    """
    from apps.text3d.guidance.own import OwnReward

    if not config.reward:
        raise UsageError(
            "guidance.own.reward is empty, and its weight is not 0: name a reward, such as {name: clip_score, clip: "
            "FOLDER}"
        )
    return OwnReward(_reward(config.reward, models), prompt.text)


def _opened(option: str, look: Callable[[], Any]) -> None:
    """Open a model now: else one that is not there would be told of by the first step, without its option.

    Raises:
        UsageError: it cannot be opened; names the option and what to do.
    """
    try:
        look()
    except UsageError as error:
        raise UsageError(
            f"guidance.{option}: {error}. Name a folder, or a hub id that this machine can reach or has cached. "
            "Missing weights are never replaced by others"
        ) from error


def _needed(option: str, value: str) -> None:
    if not value:
        raise UsageError(f"guidance.{option} is empty, and its weight is not 0: name a folder or a hub id")
