"""`LearnedReward`: what people prefer, learnt from pairs, as a frozen snapshot in a folder.

`python -m common.rewards train` makes such a folder: `reward.json` (what it stands on, its scale, its figures),
`head.safetensors`, and `backbone/` where that was tuned.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from common.config import BackboneConfig, LoraConfig
from common.errors import DataError, RewardError, UsageError
from common.files import locate, read_json, write_json
from common.rewards.base import Reward, RewardOutput, nan_like
from common.rewards.trained.head import Calibration, RewardHead

if TYPE_CHECKING:
    from common.models.backbone import Answered, Backbone

log = logging.getLogger(__name__)

CARD, HEAD, TUNED = "reward.json", "head.safetensors", "backbone"
EMPTY = "the completion is empty"
#: Read when a reward is opened: another backbone than the head was trained on gives it another number.
PROBE = ("Is this the backbone that the head was trained on?", "It is.")
#: Deviations by which that number may be off: other devices and types round otherwise.
OFF = 0.25


class LearnedReward(Reward):
    r"""A backbone, a two-layer head and a scale, fitted to preference pairs by Bradley and Terry's model.

    After BaseReward (arXiv 2509.16127), whose backbone is a Qwen2.5-VL of 7 B; here any language model, Qwen-VL or
    sentence encoder. Range: `Calibration.bounds`; higher is better. An empty completion scores the lower bound with a
    reason (the policy's fault). NaN where an image cannot be read, the backbone fails, or the number is not finite
    (the grader's). A row does not depend on its batch by more than rounding. Opened on first use; pickles without its
    weights.

    A learned reward is hacked where it was not trained: run the audit, and add a rule to it (in BaseReward's GRPO runs
    a rule with the learned reward beat either alone).

    Args:
        folder: made by `python -m common.rewards train` or `save_learned_reward`.
        form: "standard" or "probability"; the folder's own where not given.
        prompt: column of prompts, texts or conversations.
        completion: column of texts.
        images: column of images, for a folder that was trained with some: one, several or None a row.
        device: torch device of the backbone.
        batch: completions read at once.
        name: the part's name.

    Attributes:
        calibration: mean, deviation, form and limit.

    Raises:
        DataError: the folder is none of a learned reward, or damaged.
        RewardError: the form is another.
    """

    def __init__(
        self,
        folder: str | Path,
        form: str | None = None,
        prompt: str = "prompt",
        completion: str = "completion",
        images: str = "images",
        device: str = "auto",
        batch: int = 32,
        name: str = "learned_reward",
    ) -> None:
        self.folder = str(folder)
        self._opened: tuple[Backbone, RewardHead] | None = None
        self._loose = False
        card = read_card(folder)
        scale: Mapping[str, Any] = {**card["calibration"], **({"form": form} if form else {})}
        self._declare(Calibration(**scale), bool(card["images"]), prompt, completion, images, batch, name)
        self.device = device

    @classmethod
    def of(
        cls,
        backbone: Backbone,
        head: RewardHead,
        calibration: Calibration,
        images: bool = False,
        batch: int = 32,
        name: str = "learned_reward",
    ) -> LearnedReward:
        """One of parts that are in memory; it pickles only once it is saved.

        Args:
            backbone: what reads.
            head: what judges.
            calibration: the scale.
            images: whether rows have images.
            batch: completions read at once.
            name: the part's name.
        """
        made = cls.__new__(cls)
        made.folder, made.device, made._loose = "", "auto", True
        made._opened = (backbone, head)
        made._declare(calibration, images, "prompt", "completion", "images", batch, name)
        return made

    def _declare(
        self,
        calibration: Calibration,
        sees: bool,
        prompt: str,
        completion: str,
        images: str,
        batch: int,
        name: str,
    ) -> None:
        self.calibration = calibration
        self.bounds = calibration.bounds
        self.prompt, self.completion = prompt, completion
        self.images = images if sees else None
        self.needs = (prompt, completion, *([images] if sees else []))
        self.batch = batch
        self.name = name

    def __getstate__(self) -> dict[str, Any]:
        if self._loose:
            raise RewardError(
                f"reward {self.name!r} is in memory alone and does not pickle; save it and open its folder"
            )
        return {**self.__dict__, "_opened": None}

    def score(self, **columns: Any) -> RewardOutput:
        """Score the rows in batches; see `Reward.score`."""
        prompts, said = columns[self.prompt], columns[self.completion]
        pictures = columns[self.images] if self.images else [None] * len(said)
        values, reasons = nan_like(len(said)), [""] * len(said)
        rows: dict[int, Answered] = {}
        for row, (prompt, text, shown) in enumerate(zip(prompts, said, pictures, strict=True)):
            self._check(row, prompt, text)
            if text.strip():
                rows[row] = _answered(prompt, text, shown)
            else:
                values[row], reasons[row] = self.worst, EMPTY
        numbers, failed = self._numbers(list(rows.values()))
        values[list(rows)] = self.calibration.apply(numbers)
        for at, row in enumerate(rows):
            if values[row].isnan():
                reasons[row] = failed.get(at, "the head returned no number")
        return RewardOutput(values, info={"reason": reasons})

    def _check(self, row: int, prompt: Any, text: Any) -> None:
        if not isinstance(text, str):
            raise RewardError(f"reward {self.name!r}: {self.completion!r} of row {row} is a {type(text).__name__}")
        talk = isinstance(prompt, Sequence) and all(isinstance(one, Mapping) and "content" in one for one in prompt)
        if not (isinstance(prompt, str) or talk):
            raise RewardError(
                f"reward {self.name!r}: {self.prompt!r} of row {row} is neither a text nor a list of messages"
            )

    def _numbers(self, rows: Sequence[Answered]) -> tuple[Tensor, dict[int, str]]:
        """The head's numbers `(B,)`, and why others are NaN, by their place."""
        if not rows:
            return torch.zeros(0), {}
        # A folder that cannot be opened is no grader's failure of a row: it raises.
        backbone, head = self._open()
        try:
            return self._read(backbone, head, rows), {}
        except (DataError, RuntimeError) as error:
            # A picture that cannot be read, or memory that does not suffice: find out whose fault it is.
            if len(rows) == 1:
                log.warning("reward %s: a row could not be scored: %s", self.name, error)
                return nan_like(1), {0: str(error)}
        numbers, failed = nan_like(len(rows)), {}
        for at, row in enumerate(rows):
            one, reason = self._numbers([row])
            numbers[at] = one[0]
            failed.update(dict.fromkeys([at], reason[0]) if reason else {})
        return numbers, failed

    def _read(self, backbone: Backbone, head: RewardHead, rows: Sequence[Answered]) -> Tensor:
        from common.models.backbone import read_features

        with torch.no_grad():
            numbers: Tensor = head(read_features(backbone, rows, self.batch))
        return numbers

    def _open(self) -> tuple[Backbone, RewardHead]:
        if self._opened is None:
            self._opened = open_parts(self.folder, self.device)
        return self._opened


def save_learned_reward(
    folder: Path | str,
    backbone: Backbone,
    config: BackboneConfig,
    head: RewardHead,
    calibration: Calibration,
    images: bool = False,
    figures: Mapping[str, Any] | None = None,
) -> Path:
    """Write a folder that `LearnedReward` opens; the card comes last, so that a folder with a card is whole.

    Args:
        folder: where to.
        backbone: what reads; its weights are written only where they were tuned.
        config: where it came from, and how it is read.
        head: what judges.
        calibration: the scale.
        images: whether rows have images.
        figures: what was measured; shown to people.
    """
    from common.models.backbone import read_features

    folder = Path(folder)
    if config.tune != "frozen":
        backbone.save(folder / TUNED)
    head.save(folder / HEAD)
    with torch.no_grad():
        probe = float(head(read_features(backbone, [_answered(*PROBE, None)], 1))[0])
    card = {
        "kind": "learned_reward",
        "backbone": {**asdict(config), "path": TUNED if config.tune != "frozen" else _place(config.path)},
        "head": head.sizes,
        "calibration": calibration.to_dict(),
        "images": images,
        "probe": probe,
        "figures": dict(figures or {}),
    }
    return write_json(folder / CARD, card).parent


def read_card(folder: Path | str) -> dict[str, Any]:
    """What a learned reward's folder says of itself.

    Raises:
        DataError: it is no such folder.
    """
    file = locate(folder) / CARD
    if not file.is_file():
        raise DataError(
            f"no learned reward: it holds no {CARD}; make one: python -m common.rewards train --pairs pairs.jsonl",
            path=locate(folder),
        )
    card = read_json(file)
    names = {"backbone": dict, "head": dict, "calibration": dict, "images": bool, "probe": (int, float)}
    if not isinstance(card, dict) or card.get("kind") != "learned_reward":
        raise DataError("this is no card of a learned reward", path=file)
    for name, kind in names.items():
        if not isinstance(card.get(name), kind):  # type: ignore[arg-type]
            raise DataError(f"the card has no {name!r}, or one of another type", path=file)
    known = {"mean", "deviation", "form", "limit"}
    if set(card["calibration"]) != known:
        raise DataError(f"the card's calibration holds {sorted(card['calibration'])}, not {sorted(known)}", path=file)
    return card


def open_parts(folder: Path | str, device: str = "auto") -> tuple[Backbone, RewardHead]:
    """The frozen backbone and head of a learned reward.

    Raises:
        DataError: a file is damaged, or the backbone is not the one that the head was trained on.
        UsageError: the backbone is not there.
    """
    from common.models.backbone import open_backbone, read_features

    place, card = locate(folder), read_card(folder)
    given = {**card["backbone"], "device": device, "tune": "frozen"}
    try:
        config = BackboneConfig(**{**given, "lora": LoraConfig(**given.get("lora", {}))})
    except TypeError as error:
        raise DataError(f"the card's backbone: {error}", path=place / CARD) from error
    odd = [name for name, value in vars(BackboneConfig()).items() if type(getattr(config, name)) is not type(value)]
    if odd:
        raise DataError(f"the card's backbone: {odd[0]} is of another type", path=place / CARD)
    if card["backbone"].get("tune") != "frozen":
        config.path = str((place / TUNED).resolve())
    head = RewardHead.load(place / HEAD, card["head"])
    backbone = open_backbone(config)
    if backbone.width != head.sizes["width"]:
        raise UsageError(f"{config.path}: features of {backbone.width} numbers, the head takes {head.sizes['width']}")
    with torch.no_grad():
        found = float(head(read_features(backbone, [_answered(*PROBE, None)], 1))[0])
    if not abs(found - card["probe"]) <= OFF * card["calibration"]["deviation"]:
        raise DataError(
            f"the backbone {config.path} is not the one this head was trained on (it gives {found:.4g} where "
            f"{card['probe']:.4g} was); put that one back, or train again",
            path=place,
        )
    return backbone, head


def _place(path: str) -> str:
    """A path that is found from any folder: a shipped one and a hub id as they are, another one absolute."""
    shipped = Path(__file__).resolve().parents[3] / path
    here = Path(path)
    return str(here.resolve()) if here.exists() and not here.is_absolute() and not shipped.exists() else path


def _answered(prompt: Any, text: str, shown: Any) -> Answered:
    from common.models.backbone import Answered

    if shown is None:
        several: Sequence[Any] = ()
    elif isinstance(shown, (list, tuple)):
        several = [one for one in shown if one is not None]
    else:
        several = [shown]
    return Answered(prompt, text, several)
