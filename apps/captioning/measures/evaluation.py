"""What a captioner said of held-out pictures, and what training measures of it; `evaluate` measures the rest."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from apps.captioning.config import CaptioningConfig
from common.errors import DataError
from common.stats import Interval, PairedTest, bootstrap, mcnemar, paired_bootstrap
from common.training.run import plain

if TYPE_CHECKING:
    from torch import Tensor

    from apps.captioning.features import Pictures
    from apps.captioning.model import Captioner
    from common.models.clip import Clip

# Shown in this order, with the factor that a reader expects.
SCALES = {
    "exact": 100.0,
    "grammatical": 100.0,
    "invented": 100.0,
    "clip_cos": 100.0,
    "clip_held_out": 100.0,
    "cider": 1.0,
}
WORDS = {
    "exact": "whole scene right, %",
    "grammatical": "grammatical, %",
    "invented": "names what is not there, %",
    "clip_cos": "cosine under the reward's CLIP, x100",
    "clip_held_out": "cosine under a CLIP no reward has seen, x100",
    "cider": "CIDEr-D",
}


@dataclass(frozen=True)
class Item:
    """One picture and its caption.

    Attributes:
        id: of the picture.
        caption: what was said.
        held: pocket only: it shows a colour and kind that training never shows together.
        scores: by name; absent where it cannot be measured.
    """

    id: str
    caption: str
    held: bool = False
    scores: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Evaluation:
    """The same measures of many pictures."""

    items: Sequence[Item]

    @property
    def names(self) -> list[str]:
        """What was measured, in the order shown."""
        found = {name for item in self.items for name in item.scores}
        return [*(name for name in SCALES if name in found), *sorted(found - set(SCALES))]

    def values(self, name: str, held: bool | None = None) -> list[float]:
        """One measure of every picture, or of those with or without a held-out combination; NaN where absent."""
        return [item.scores.get(name, math.nan) for item in self.items if held in (None, item.held)]

    def interval(self, name: str, held: bool | None = None) -> Interval:
        """Mean with a 95 % bootstrap interval over pictures."""
        return bootstrap(self.values(name, held))

    def to_dict(self) -> dict[str, Any]:
        """Plain values: the means, then every picture; NaN becomes None."""
        measures = {name: self.interval(name).to_dict() for name in self.names}
        return {"measures": measures, "items": [plain(asdict(item)) for item in self.items]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Evaluation:
        """What `to_dict` wrote; raises KeyError or TypeError for anything else."""
        items = [Item(**item) for item in values["items"]]
        return cls([replace(item, scores={name: _or_nan(it) for name, it in item.scores.items()}) for item in items])


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def compare(before: Evaluation, after: Evaluation, name: str, held: bool | None = None) -> PairedTest:
    """Paired test of one measure on the same pictures.

    Raises:
        DataError: the two are of different pictures.
    """
    if [item.id for item in before.items] != [item.id for item in after.items]:
        raise DataError("the two evaluations are of different pictures; evaluate both on the same data")
    first, second = before.values(name, held), after.values(name, held)
    binary = all(math.isnan(value) or value in (0.0, 1.0) for value in (*first, *second))
    return mcnemar(first, second) if binary else paired_bootstrap(first, second)


def measure_captioner(
    config: CaptioningConfig, captioner: Captioner, clip: Clip, pictures: Pictures, corpus: Tensor | None = None
) -> Evaluation:
    """Caption pictures greedily (or by beam, as `evaluate.beam` says) and measure the captions.

    Args:
        config: the settings.
        captioner: the model.
        clip: the CLIP whose features it reads.
        pictures: with features.
        corpus: `(N, D)` text features, needed where `captioner.projection` is set.
    """
    captions = say(config, captioner, pictures.features, corpus)
    return measure(config, captions, clip, pictures)


def say(config: CaptioningConfig, captioner: Captioner, features: Tensor, corpus: Tensor | None = None) -> list[str]:
    """Captions of picture features, with DeCap's projection where it is set."""
    from apps.captioning.aggregation import project
    from common.errors import UsageError

    captioner.eval()
    if config.captioner.projection:
        if corpus is None:
            raise UsageError("captioner.projection needs the corpus' features")
        features = project(features, corpus, config.captioner.projection)
    else:
        features = captioner.translate(features.to(captioner.device))
    texts: list[str] = []
    for start in range(0, len(features), config.evaluate.batch_size):
        part = features[start : start + config.evaluate.batch_size].to(captioner.device)
        if config.evaluate.beam > 1:
            from apps.captioning.beam import beam_search

            found = beam_search(captioner, part, config.captioner.max_new_tokens, config.evaluate.beam)
            texts += [entry.text for entry in found]
        else:
            texts += captioner.generate(part, config.captioner.max_new_tokens).texts
    return texts


def measure(config: CaptioningConfig, captions: Sequence[str], clip: Clip, pictures: Pictures) -> Evaluation:
    """Measure captions of pictures, whoever wrote them."""
    from apps.captioning.measures.scenes import score_caption

    scores: list[dict[str, float]] = [{} for _ in captions]
    for row, (caption, example) in enumerate(zip(captions, pictures.examples, strict=True)):
        if example.scene is not None:
            found = score_caption(caption, example.scene)
            scores[row] |= {"exact": float(found.exact), "grammatical": float(found.grammatical)}
            scores[row] |= {"invented": float(found.invented)}
    cosines = (clip.text(list(captions)).cpu() * pictures.features).sum(1).tolist()
    for row, cosine in enumerate(cosines):
        scores[row]["clip_cos"] = cosine
    for name, values in {
        "clip_held_out": _second(config, captions, pictures),
        "cider": _cider(captions, pictures),
    }.items():
        for row, value in enumerate(values):
            scores[row][name] = value
    return Evaluation(
        [
            Item(example.id, caption, example.scene is not None and example.scene.held, found)
            for example, caption, found in zip(pictures.examples, captions, scores, strict=True)
        ]
    )


def cider(captions: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Corpus CIDEr-D; document frequencies from these references."""
    values = _cider_values(captions, references)
    return sum(values) / len(values)


def _cider(captions: Sequence[str], pictures: Pictures) -> list[float]:
    references = [example.captions for example in pictures.examples]
    return _cider_values(captions, references) if all(references) and len(references) > 1 else []


def _cider_values(captions: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
    from common.rewards.text import CiderD
    from common.rewards.text.cider import DocumentFrequency

    reward = CiderD(DocumentFrequency.from_references(references))
    return reward(completion=list(captions), reference=[list(entry) for entry in references]).values.tolist()


def second_clip(config: CaptioningConfig) -> Clip | None:
    """The CLIP that no reward has used; None where it is not there."""
    from common.files import locate
    from common.models.clip import Clip

    name = config.evaluate.second_clip
    missing = not name or (name.startswith("local-dir:") and not locate(name.removeprefix("local-dir:")).is_dir())
    return None if missing else Clip(name)


def _second(config: CaptioningConfig, captions: Sequence[str], pictures: Pictures) -> list[float]:
    """Cosines under a second CLIP, which shows where a captioner has learnt to please the first one only."""
    from apps.captioning.features import picture_features

    clip = second_clip(config)
    if clip is None:
        return []
    seen = picture_features(clip, pictures.examples, quiet=True)
    return (clip.text(list(captions)).cpu() * seen.features).sum(1).tolist()
