"""What pictures are paid for that should show a prompt: a vision-language model's answers, and CLIP's cosine."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from apps.text3d.cameras import orbit
from apps.text3d.guidance.build import KINDS, asked
from apps.text3d.guidance.vlm import VlmReward, check_scale
from apps.text3d.reward_answers import Answer, Judged, mean, squashed, told
from apps.text3d.reward_config import RewardConfig, RewardVlmConfig
from apps.text3d.reward_rows import Row, read_row
from common.errors import DataError, UsageError
from common.rewards import functional
from common.rewards.base import Reward, RewardOutput, row_count

if TYPE_CHECKING:
    from common.models.clip import Clip
    from common.models.vlm import VisionLanguageModel

log = logging.getLogger(__name__)

CLIP = "clip"


class Text3dReward(Reward):
    r"""Whether pictures show a prompt: :math:`\sum_k w_k r_k` over the parts that have a weight.

    * `vlm.semantic`, `vlm.spatial`, `vlm.consistency`: the weighted mean over the questions that the guidance asks too
      (VLM3D, arXiv 2511.14271) of the right answer's log-odds, squashed into [0, 1]; see `RewardVlmConfig.form`. With
      `.right`, the share of questions that are answered rightly.
    * `clip`: mean cosine between the pictures' vectors and the prompt's, in [−1, 1].

    A part without a question for this prompt and these pictures (no relation; one picture only) is left out and the
    rest stands for it, as in `functional.weighted_sum`. Range: from the weights and the parts' ranges; higher is
    better. A prompt of which nothing is understood is asked as a whole only.

    Columns: `prompt`, texts; `images`, for each row one picture or several (files, bytes, Pillow pictures or tensors
    `(3, H, W)` in [0, 1]); and, where known, `azimuths`, degrees for each picture; else a row's pictures are taken as
    seen from the prompt's own side, azimuth 0. A row whose prompt is empty or whose pictures cannot be read is NaN
    with a reason (the data's fault), as is one whose grader failed. A failed batch is asked again row by row.

    Args:
        weights: of `KINDS` and `clip`; what has none, or 0, is not reckoned.
        vlm: the model that answers.
        clip: the CLIP.
        form: see `RewardVlmConfig`.
        saturation: likewise.

    Raises:
        UsageError: nothing has a weight, or a part that has one has no model.
    """

    name = "text3d"
    needs = ("prompt", "images")

    def __init__(
        self,
        weights: Mapping[str, float],
        vlm: VisionLanguageModel | None = None,
        clip: Clip | None = None,
        form: str = "log_odds",
        saturation: float = 8.0,
    ) -> None:
        self.weights = {name: float(weight) for name, weight in weights.items() if weight}
        self.kinds = tuple(kind for kind in KINDS if kind in self.weights)
        if unknown := set(self.weights) - {*KINDS, CLIP}:
            raise UsageError(f"the text-to-3D reward has no part {sorted(unknown)[0]!r}; use {', '.join(KINDS)}, clip")
        if not self.weights:
            raise UsageError("reward: every weight is 0; set reward.vlm.semantic, .spatial or reward.clip.weight")
        if (self.kinds and vlm is None) or (CLIP in self.weights and clip is None):
            raise UsageError("a part of the reward has a weight and no model")
        self.vlm, self.clip = vlm, clip
        self.form, self.saturation = form, saturation
        self.scored = {f"vlm.{kind}": self.weights[kind] for kind in self.kinds}
        if CLIP in self.weights:
            self.scored[CLIP] = self.weights[CLIP]
        low = sum(weight * part_bounds(name)[0] for name, weight in self.scored.items())
        self.bounds = (low, sum(weight * part_bounds(name)[1] for name, weight in self.scored.items()))
        self.part_names = tuple(
            name for part in self.scored for name in ((part,) if part == CLIP else (part, f"{part}.right"))
        )

    def score(self, **columns: Any) -> RewardOutput:
        """See `Reward.score`; `info` has `reason` and `questions`, a line for each."""
        prompts, pictures = columns["prompt"], columns["images"]
        azimuths = columns.get("azimuths")
        if azimuths is not None and row_count(azimuths) != len(prompts):
            raise UsageError("the column azimuths must hold an entry (or None) for each row")
        rows: dict[int, Row] = {}
        found: dict[int, Judged] = {}
        for at, prompt in enumerate(prompts):
            try:
                rows[at] = read_row(prompt, pictures[at], None if azimuths is None else azimuths[at])
            except DataError as error:
                found[at] = Judged(math.nan, {}, reason=str(error))
        found |= dict(zip(rows, self.judge(list(rows.values())), strict=True))
        ordered = [found[at] for at in range(len(prompts))]
        return RewardOutput(
            torch.tensor([one.value for one in ordered], dtype=torch.float32),
            {name: torch.tensor([one.parts.get(name, math.nan) for one in ordered]) for name in self.part_names},
            {
                "reason": [one.reason for one in ordered],
                "questions": ["\n".join(map(told, one.answers)) for one in ordered],
            },
        )

    def judge(self, rows: Sequence[Row]) -> list[Judged]:
        """Score rows that were read; each as it would be alone, to the models' rounding.

        Raises:
            UsageError: a model cannot be opened.
        """
        if not rows:
            return []
        answers, troubles = self._answers(rows)
        cosines, more = self._cosines(rows)
        return [
            self.weigh(row, said, cosine, "; ".join(text for text in texts if text))
            for row, said, cosine, *texts in zip(rows, answers, cosines, troubles, more, strict=True)
        ]

    def weigh(self, row: Row, answers: Sequence[Answer], cosine: float | None = None, failed: str = "") -> Judged:
        """What answers, and a cosine where there is one, come to."""
        parts: dict[str, float] = {}
        for kind in self.kinds:
            said = [one for one in answers if one.kind == kind]
            if said:
                parts[f"vlm.{kind}"] = mean(said, lambda odds: squashed(odds, self.form, self.saturation))
                parts[f"vlm.{kind}.right"] = mean(said, lambda odds: squashed(odds, "share"))
        if cosine is not None and CLIP in self.weights:
            parts[CLIP] = cosine
        names = list(self.scored)
        value = functional.weighted_sum(
            torch.tensor([[parts.get(name, math.nan)] for name in names], dtype=torch.float64),
            torch.tensor(list(self.scored.values()), dtype=torch.float64),
            torch.tensor([part_bounds(name) for name in names], dtype=torch.float64),
        )
        reasons = [failed] if failed else []
        if not parts:
            reasons.append(f"there is no question for this row: {', '.join(self.kinds)} ask nothing of it")
        reasons += [f"not understood, asked as a whole only: {text!r}" for text in row.prompt.unknown]
        reasons += [f"wrong: {told(one)}" for one in answers if one.log_odds <= 0]
        return Judged(float(value), parts, answers, "; ".join(reasons), failed)

    def turns(self, row: Row) -> list[Answer]:
        """What is asked about a row, without log-odds."""
        cameras = orbit(list(row.azimuths), size=8)
        found = []
        for kind in self.kinds:
            if kind == "consistency" and len(row.pictures) < 2:
                continue  # one picture agrees with itself
            # The very questions that guide a scene, so that what is paid for is what is judged.
            for turn in VlmReward(self.vlm, asked(kind, row.prompt)).turns(cameras):  # type: ignore[arg-type]
                one = turn.question
                found.append(Answer(kind, one.name, one.text, one.expected, turn.views, turn.weight))
        return found

    def _answers(self, rows: Sequence[Row]) -> tuple[list[list[Answer]], list[str]]:
        """Every row's answers, and why they have no log-odds; a failed batch is asked again row by row."""
        turns = [self.turns(row) for row in rows]
        try:
            odds = self._ask(rows, turns)
        except RuntimeError as error:
            # The grader's fault: out of memory, a lost device. TouchstoneError is no RuntimeError, so it passes.
            if len(rows) == 1:
                log.warning("the VLM failed on a row: %s", error)
                return turns, [f"the VLM failed: {error}"]
            alone = [self._answers([row]) for row in rows]
            return [said for (said,), _ in alone], [trouble for _, (trouble,) in alone]
        left = iter(odds)
        said = [[replace(one, log_odds=next(left)) for one in several] for several in turns]
        bad = [any(not math.isfinite(one.log_odds) for one in several) for several in said]
        return said, ["the VLM returned no number" if one else "" for one in bad]

    @torch.no_grad()
    def _ask(self, rows: Sequence[Row], turns: Sequence[Sequence[Answer]]) -> list[float]:
        """Log-odds of the right answer for all turns, row by row."""
        flat = [(row, one) for row, several in zip(rows, turns, strict=True) for one in several]
        if not flat or self.vlm is None:
            return []
        check_scale(self.vlm.preprocess, flat[0][0].pictures[0].unsqueeze(0))
        # The same object for the same view: the model encodes it once, however many questions are asked about it.
        shown = [[row.pictures[view] for view in one.views] for row, one in flat]
        odds = self.vlm.yes_logit(shown, [one.text for _, one in flat]).double().cpu().tolist()
        return [value if one.expected else -value for value, (_, one) in zip(odds, flat, strict=True)]

    @torch.no_grad()
    def _cosines(self, rows: Sequence[Row]) -> tuple[list[float | None], list[str]]:
        """Each row's mean cosine, None without a CLIP."""
        if self.clip is None or CLIP not in self.weights:
            return [None] * len(rows), [""] * len(rows)
        try:
            found: list[float | None] = [self._cosine(self.clip, row) for row in rows]
        except RuntimeError as error:
            if len(rows) == 1:
                log.warning("CLIP failed on a row: %s", error)
                return [math.nan], [f"CLIP failed: {error}"]
            alone = [self._cosines([row]) for row in rows]
            return [value for (value,), _ in alone], [trouble for _, (trouble,) in alone]
        return found, ["CLIP returned no number" if one != one else "" for one in found]

    def _cosine(self, clip: Clip, row: Row) -> float:
        text = clip.text([row.prompt.text])[0]
        # Pictures of a row may differ in size.
        seen = torch.cat([clip.image(picture.unsqueeze(0)) for picture in row.pictures])
        value = float((seen @ text.to(seen)).mean())
        return min(1.0, max(-1.0, value)) if math.isfinite(value) else math.nan


def part_bounds(name: str) -> tuple[float, float]:
    """The range of a part."""
    return (-1.0, 1.0) if name == CLIP else (0.0, 1.0)


def build_reward(config: RewardConfig) -> Text3dReward:
    """The reward that a config describes; models are opened on first use.

    Raises:
        UsageError: nothing has a weight, or a part that has one has no model.
    """
    weights = {kind: getattr(config.vlm, kind) for kind in KINDS} | {CLIP: config.clip.weight}
    vlm = _vlm(config.vlm) if any(weights[kind] for kind in KINDS) else None
    clip = None
    if config.clip.weight:
        from common.models.clip import Clip

        if not config.clip.name:
            raise UsageError("reward.clip.name is empty, and its weight is not 0: name a folder or a hub id")
        clip = Clip(config.clip.name, config.clip.pretrained or None, config.clip.device)
    return Text3dReward(weights, vlm, clip, config.vlm.form, config.vlm.saturation)


def _vlm(config: RewardVlmConfig) -> VisionLanguageModel:
    from common.config import LanguageModelConfig
    from common.files import locate
    from common.models.vlm import VisionLanguageModel

    folder = locate(config.model)
    # A hub id has exactly one slash; everything else is a folder, and would be looked for in vain on the hub.
    is_folder = config.model.startswith((".", "/", "~")) or config.model.count("/") != 1
    if not config.model or (is_folder and not (folder / "config.json").is_file()):
        raise UsageError(
            f"reward.vlm.model: there is no model in {config.model or 'an empty name'!r}. Make the pocket one with "
            "python -m apps.text3d pretrain, or name a Qwen-VL: --reward.vlm.model FOLDER or a hub id such as "
            "Qwen/Qwen2.5-VL-3B-Instruct"
        )
    path = str(folder) if Path(folder).is_dir() else config.model
    settings = LanguageModelConfig(path=path, device=config.device, dtype=config.dtype)
    # As its file would score: pictures that are rendered here and pictures that were saved must not differ.
    return VisionLanguageModel(settings, batch_size=config.batch_size, eight_bits=True)
