"""Which reward a driver is trained on: VLM-RL's, its ablations, and the others of the comparison, by name.

Every recipe reads `state` (`info["state"]` of the environment, one row a transition), `images` where it looks at
pictures (`(B, 3, H, W)` RGB in [0, 1], the view from above) and, RoboCLIP alone, `group`: the number of a row's
episode. They know no RL library.

Entries of `state`, each a 1-D float32 tensor (of the environment itself, a float):

==================== ============================================================================================
speed                along the nose, m/s; negative in reverse
offset               from the lane's centre on the route, m; to the right is positive
heading              of the nose against the route, rad, in (-pi, pi]
offset_std           spread of |offset| over the last 30 steps, m
steer                as the simulator applied it, -1 (left) to 1 (right)
steer_change         since the step before
steer_std            spread of the steer over the last 30 steps
throttle, brake      as applied, 0 to 1
acceleration         along the nose, m/s^2
progress             share of the route driven after the step, 0 to 1
progress_change      of this step, 0 or more; the steps' sum is the route completion
distance             metres of route gained in this step
lane_width           m
speed_limit          m/s
off_route            0 or 1
collision            0 or 1: one began in this step
collision_speed      of the ego just before it, m/s; 0 without one
red_light            0 or 1: a red light was run in this step; the environment says 0, for it watches none yet
success              0 or 1: the goal was reached
terminated           0 or 1: the episode ended by the driver's doing, good or bad
truncated            0 or 1: it was cut off (time limit, a lost simulator)
hazard               m to the nearest participant on the way ahead; 1000 where there is none
time                 s since the reset
step                 number of the step in the episode
==================== ============================================================================================
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from apps.driving.calibration import read_calibration
from apps.driving.env_config import KMH
from apps.driving.goals import VLM_RL_CLIP, WORDINGS
from apps.driving.parts.factors import FACTORS, driving_factors, events
from apps.driving.parts.language import Lord, RoboClip, VlmSr
from apps.driving.parts.progress import CarlProgress, Progress
from apps.driving.parts.rules import Asap, Chen, Revolve, Roach, Tirl
from apps.driving.parts.synthesis import GoalOnly, Synthesis
from apps.driving.reward_config import RECIPE_NAMES, RewardConfig, worded
from common.config import nearest
from common.errors import UsageError
from common.rewards.base import Reward
from common.rewards.build import build as build_spec
from common.rewards.episodes import Intrinsic, ReturnDecomposition
from common.rewards.episodes.labels import Annotator, JudgeAnnotator, LabelQueue
from common.rewards.image import ContrastiveGoal, GoalBaseline
from common.rewards.state import with_state

if TYPE_CHECKING:
    from common.models.clip import Clip

Maker = Callable[[RewardConfig, "Clip"], Reward]


def vlm_rl(config: RewardConfig, clip: Clip) -> Reward:
    """VLM-RL; see `apps.driving.parts.synthesis.Synthesis`."""
    return _synthesis(config, goal(config, clip))


def vlm_rl_no_clip(config: RewardConfig, clip: Clip) -> Reward:
    """VLM-RL without CLIP: the same synthesis with a road that is always called safe."""
    return _synthesis(config, None)


def vlm_rl_no_synthesis(config: RewardConfig, clip: Clip) -> Reward:
    """VLM-RL's language goal alone, with the terminal penalty."""
    return GoalOnly(goal(config, clip), config.penalty, "vlm_rl_no_synthesis")


def hand_written(config: RewardConfig, clip: Clip) -> Reward:
    """The reward that VLM-RL's environment has without CLIP: full speed reward in a band; `reward_fn5` there."""
    return _synthesis(config, None, band=True)


def progress(config: RewardConfig, clip: Clip) -> Reward:
    """Potential-based progress; see `apps.driving.parts.progress.Progress`."""
    return Progress(config.scale, config.gamma, config.penalty)


def vlm_sr(config: RewardConfig, clip: Clip) -> Reward:
    """VLM-SR; see `apps.driving.parts.language.VlmSr`."""
    return VlmSr(clip, worded(config.goals).safe, success_threshold(config, clip))


def roboclip(config: RewardConfig, clip: Clip) -> Reward:
    """RoboCLIP, once an episode, with CLIP's frames for S3D; see `apps.driving.parts.language.RoboClip`."""
    return RoboClip(clip, worded(config.goals).safe)


def vlm_rm(config: RewardConfig, clip: Clip) -> Reward:
    """VLM-RM (arXiv 2310.12921); see `common.rewards.image.GoalBaseline`."""
    goals = worded(config.goals)
    return GoalBaseline(clip, goals.safe, goals.baseline, config.goals.alpha, differentiable=False, name="vlm_rm")


def lord(config: RewardConfig, clip: Clip) -> Reward:
    """LORD; see `apps.driving.parts.language.Lord`."""
    return Lord(clip, worded(config.goals).negative)


def lord_speed(config: RewardConfig, clip: Clip) -> Reward:
    """LORD-Speed with the comparison's 20 km/h; see `apps.driving.parts.language.Lord`."""
    return Lord(clip, worded(config.goals).negative, 20 * KMH, "lord_speed")


def chatscene(config: RewardConfig, clip: Clip) -> Reward:
    """ChatScene; see `apps.driving.parts.rules.Chen`."""
    return Chen(1.0, 5.5, 4.0, 0.0, "chatscene")


#: Every recipe by name.
RECIPES: dict[str, Maker] = {
    "vlm_rl": vlm_rl,
    "vlm_rl_no_clip": vlm_rl_no_clip,
    "vlm_rl_no_synthesis": vlm_rl_no_synthesis,
    "hand_written": hand_written,
    "progress": progress,
    "vlm_sr": vlm_sr,
    "roboclip": roboclip,
    "vlm_rm": vlm_rm,
    "lord": lord,
    "lord_speed": lord_speed,
    "chen": lambda config, clip: Chen(),
    "asap": lambda config, clip: Asap(),
    "chatscene": chatscene,
    "revolve": lambda config, clip: Revolve(),
    "revolve_auto": lambda config, clip: Revolve(automatic=True, name="revolve_auto"),
    "tirl": lambda config, clip: Tirl(),
    "carl": lambda config, clip: CarlProgress(),
    "roach": lambda config, clip: Roach(),
}
#: The columns of a step, see `common.rewards.adapters.transitions.Columns`.
COLUMNS = ("state", "images", "environment", "group", "first", "last", "step")
#: The recipes that look at pictures.
SEEING = ("vlm_rl", "vlm_rl_no_synthesis", "vlm_sr", "roboclip", "vlm_rm", "lord", "lord_speed")


def build(config: RewardConfig, clip: Clip | None = None, annotator: Annotator | None = None) -> Reward:
    """The configured reward; a CLIP is opened now only where a calibration must be compared with it.

    Args:
        config: the settings.
        clip: the CLIP that sees; opened by the config's name where not given.
        annotator: stands in for `intrinsic.judge`.

    Raises:
        UsageError: unknown recipe or wording, thresholds that are not there or belong to another CLIP or goals, an
            intrinsic reward without an annotator, or see `own_reward`.
    """
    if config.own:
        reward = own_reward(config)
    elif config.recipe in RECIPES:
        reward = RECIPES[config.recipe](config, clip or configured_clip(config))
    else:
        raise UsageError(f"unknown reward recipe {config.recipe!r}{nearest(config.recipe, RECIPE_NAMES)}")
    if config.decomposition.on:
        chosen = config.decomposition
        reward = ReturnDecomposition(
            reward,
            driving_factors,
            len(FACTORS),
            draws=chosen.draws,
            updates=chosen.updates,
            warmup=chosen.warmup,
            hidden=chosen.hidden,
            learning_rate=chosen.learning_rate,
            seed=config.seed,
        )
    if config.intrinsic.mode != "none":
        reward = _intrinsic(config, reward, annotator)
    return with_state(reward)


def own_reward(config: RewardConfig) -> Reward:
    """The reward in the recipe's place.

    Raises:
        UsageError: it needs a column that a step has not, or what `build` of `common.rewards.build` says.
    """
    reward = build_spec(config.own)
    for column in reward.needs:
        if column not in COLUMNS:
            raise UsageError(
                f"reward.own: {reward.name} needs the column {column!r}, and a step of driving has "
                f"{', '.join(COLUMNS)}; there is no text to judge. Take a reward of `state` or of `images`"
            )
    return reward


def _intrinsic(config: RewardConfig, reward: Reward, annotator: Annotator | None) -> Reward:
    chosen = config.intrinsic
    if chosen.mode == "none":
        return reward
    if annotator is None and not chosen.judge.url:
        raise UsageError(
            "the intrinsic reward needs an annotator: set reward.intrinsic.judge.url and .model, or mode none"
        )
    asked = annotator or JudgeAnnotator(chosen.judge, pairs=chosen.mode == "rank")
    return Intrinsic(
        reward,
        LabelQueue(asked, chosen.batch, chosen.deadline, chosen.patience, background=chosen.background),
        key="state",
        describe=events,
        mode=chosen.mode,
        weights=(1.0, chosen.weight),
        decay=chosen.decay,
        late=chosen.late,
        seed=config.seed,
    )


def configured_clip(config: RewardConfig) -> Clip:
    """The configured CLIP, whose weights are read on first use, or its student."""
    from common.models.clip import Clip

    chosen = config.clip
    device = chosen.device
    if device == "auto":
        import torch

        device = "cuda" if torch.cuda.is_available() else "cpu"
    clip = Clip(chosen.name, chosen.pretrained or None, device, chosen.precision, chosen.batch_size)
    if not chosen.student:
        return clip
    from common.models.clip_student import ClipStudent

    return ClipStudent(chosen.student, clip, device)


def goal(config: RewardConfig, clip: Clip) -> ContrastiveGoal:
    """The contrasting language goal, c in [0, 1], with its calibrated thresholds."""
    goals = worded(config.goals)
    low, high = thresholds(config, clip)
    return ContrastiveGoal(
        clip,
        goals.positive,
        goals.negative,
        low=low,
        high=high,
        weights=(config.goals.weight_positive, config.goals.weight_negative),
        differentiable=False,
    )


def thresholds(config: RewardConfig, clip: Clip) -> tuple[float, float]:
    """(low, high) of z: the config's own, the calibration's, or VLM-RL's for VLM-RL's own CLIP and texts.

    Raises:
        UsageError: there are none for this CLIP and these goals, or only one of them is given.
    """
    given = config.thresholds
    if (given.low is None) != (given.high is None):
        raise UsageError("thresholds.low and thresholds.high go together; give both, or a calibration file")
    if given.low is not None and given.high is not None:
        if not given.low < given.high:
            raise UsageError(f"thresholds.low {given.low} must be below thresholds.high {given.high}")
        return given.low, given.high
    if given.file:
        known = read_calibration(given.file, clip, config.goals)
        return known.low, known.high
    if _published(config, clip):
        return 0.0, 0.03
    raise UsageError(
        f"CLIP {clip.name} and these goals have no thresholds yet: they belong to one model and one wording. "
        "Calibrate them (apps.driving.calibration.calibrate) and set thresholds.file, or set thresholds.low and .high"
    )


def success_threshold(config: RewardConfig, clip: Clip) -> float:
    """The cosine that VLM-SR asks for, found as `thresholds` finds its own.

    Raises:
        UsageError: there is none for this CLIP and these goals.
    """
    given = config.thresholds
    if given.success is not None:
        return given.success
    if given.file:
        return read_calibration(given.file, clip, config.goals).success
    if _published(config, clip):
        return 0.32
    raise UsageError(
        f"VLM-SR's threshold belongs to one model and one text, and CLIP {clip.name} has none yet: set "
        "thresholds.file to a calibration, or thresholds.success"
    )


def _published(config: RewardConfig, clip: Clip) -> bool:
    weights = (config.goals.weight_positive, config.goals.weight_negative)
    return clip.name == VLM_RL_CLIP and worded(config.goals) == WORDINGS["vlm_rl"] and weights == (1.0, 1.0)


def _synthesis(config: RewardConfig, seen: Reward | None, band: bool = False) -> Reward:
    wanted = config.synthesis
    return Synthesis(
        seen,
        wanted.top,
        "band" if band else "target",
        wanted.widest,
        math.radians(wanted.sharpest),
        wanted.shakiest,
        wanted.floor,
        config.penalty,
        config.recipe,
    )
