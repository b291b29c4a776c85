"""What a caption is paid for: the picture (CLIP-cos), the corpus that looks like it (CLIP-agg), and naturalness."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from apps.captioning.aggregation import Keys, aggregate
from apps.captioning.train_config import PAID, RewardConfig
from common.errors import RewardError, UsageError
from common.rewards.base import Reward, RewardOutput
from common.rewards.build import build
from common.rewards.compose import WeightedSum
from common.rewards.image import EMPTY, ClipScore, PictureReward

if TYPE_CHECKING:
    from common.models.clip import Clip

SUPERVISED = ("cider", "bleu", "similarity")
UNPAIRED = (
    "compares with the training pictures' own captions, which an unpaired trainer must not see; set reward.paired to "
    "true if this is meant to be supervised"
)


class ClipCos(ClipScore):
    r"""CLIP-cos of CgT-GAN: :math:`s \cos(v, t(c))`, s = 100 in CLIP's trained models.

    Range [0, 100] (negative cosines count as 0), higher is better. An empty caption scores 0 with a reason.

    Args:
        clip: the CLIP, or its name.
        pictures: column of pictures or their features.
        scale: s.
    """

    def __init__(self, clip: str | Clip, pictures: str = "images", scale: float = 100.0) -> None:
        super().__init__(clip, pictures, scale=scale, prefix="", differentiable=False, name="clip_cos")


class ClipAgg(PictureReward):
    r"""CLIP-agg of CgT-GAN (arXiv 2308.12045): closeness to the picture's target in text space.

    .. math:: r = \alpha\, s \cos(g, t) + (1 - \alpha)\, s\, (1 - \tfrac{1}{D} \sum_d |g_d - t_d|), \qquad
        g = \sum_j \mathrm{softmax}_j(\tau \cos(v, t_j))\, t_j

    The published code takes CLIP's features as they come; ours have length 1 and are scaled by the square root of D
    for the difference, so that one dimension is of size 1, as there. Range [-s, s]: the cosine may be -1, and the mean
    absolute difference of two such vectors is at most 2. Higher is better. Parts: `cosine`, `difference`.

    Args:
        clip: the CLIP, or its name.
        corpus: `(N, D)` features of the corpus' sentences.
        temperature: τ.
        cos_weight: α.
        top_k: attend to the nearest sentences only; 0 to all.
        pictures: column of pictures or their features.
        target: column of targets `(B, D)` that were computed before; used where it is given.
        scale: s.
    """

    part_names = ("cosine", "difference")

    def __init__(
        self,
        clip: str | Clip,
        corpus: Keys,
        temperature: float = 100.0,
        cos_weight: float = 0.5,
        top_k: int = 0,
        pictures: str = "images",
        target: str = "target",
        scale: float = 100.0,
    ) -> None:
        super().__init__(clip, pictures, "clip_agg", "cpu", differentiable=False)
        if not 0 <= cos_weight <= 1:
            raise RewardError(f"reward 'clip_agg': cos_weight must lie in [0, 1], not {cos_weight}")
        if len(corpus) == 0:
            raise UsageError("clip_agg needs a corpus, and it is empty; check corpus.path and corpus.split")
        self.corpus = corpus
        self.temperature, self.cos_weight, self.top_k = temperature, cos_weight, top_k
        self.target = target
        self.scale = scale
        self.needs = (pictures, "completion")
        self.bounds = (-scale, scale)

    def targets(self, features: Tensor) -> Tensor:
        """`(P, D)` targets of pictures' features; the same picture is looked up once."""
        distinct, places = torch.unique(features.cpu(), dim=0, return_inverse=True)
        return aggregate(distinct, self.corpus, self.temperature, self.top_k)[places]

    def score(self, **columns: Any) -> RewardOutput:
        """See `Reward.score`."""
        captions: list[str] = columns["completion"]
        reasons = ["" if caption.strip() else EMPTY for caption in captions]
        if not captions:
            empty = torch.empty(0)
            return self.judged(empty, [], {"cosine": empty, "difference": empty})
        target = columns.get(self.target)
        if target is None:
            target = self._targets_of(self.picture_vectors(columns[self.pictures], reasons).detach())
        vectors = self.text_vectors(captions)
        told = torch.stack([vectors[caption] for caption in captions]).cpu()
        target = target.cpu()
        cosine = torch.cosine_similarity(target, told)
        difference = 1 - math.sqrt(told.shape[1]) * (target - told).abs().mean(1)
        values = self.scale * (self.cos_weight * cosine + (1 - self.cos_weight) * difference)
        empty_rows = torch.tensor([reason == EMPTY for reason in reasons])
        values = torch.where(empty_rows, self.worst, values).clamp(*self.bounds)
        return self.judged(values, reasons, {"cosine": cosine, "difference": difference})

    def _targets_of(self, features: Tensor) -> Tensor:
        known = features.isfinite().all(1).cpu()
        targets = torch.full(features.shape, math.nan)
        if known.any():
            targets[known] = self.targets(features.cpu()[known])
        return targets


class Repetition(Reward):
    """Minus the share of a caption's word trigrams that it has said before. Range [-1, 0], higher is better."""

    name = "repetition"
    bounds = (-1.0, 0.0)

    def score(self, **columns: Any) -> RewardOutput:
        """See `Reward.score`; a caption of less than three words repeats nothing."""
        return RewardOutput(torch.tensor([-repeated_share(text) for text in columns["completion"]]))


class Usual(Reward):
    """Share of a caption's word bigrams, its ends included, that the corpus uses too: a cheap eye on grammar.

    Range [0, 1], higher is better. An empty caption scores 0 with a reason.

    Args:
        bigrams: those of the corpus.
    """

    name = "grammar"

    def __init__(self, bigrams: frozenset[tuple[str, str]]) -> None:
        self.bigrams = bigrams

    @classmethod
    def from_corpus(cls, sentences: Sequence[str]) -> Usual:
        """Take the bigrams of a corpus.

        Raises:
            UsageError: the corpus is empty.
        """
        if not sentences:
            raise UsageError("reward.grammar needs the corpus' sentences")
        return cls(frozenset(pair for sentence in sentences for pair in _bigrams(sentence)))

    def score(self, **columns: Any) -> RewardOutput:
        """See `Reward.score`."""
        values, reasons = [], []
        for caption in columns["completion"]:
            pairs = _bigrams(caption)
            known = [pair in self.bigrams for pair in pairs]
            values.append(sum(known) / len(known) if caption.strip() else 0.0)
            strange = next((" ".join(pair) for pair, usual in zip(pairs, known, strict=True) if not usual), "")
            reasons.append(f"the corpus never says {strange!r}" if strange and caption.strip() else _empty(caption))
        return RewardOutput(torch.tensor(values), info={"reason": reasons})


def _bigrams(text: str) -> list[tuple[str, str]]:
    words = ["<", *text.lower().replace(".", " .").replace(",", " ,").split(), ">"]
    return list(pairwise(words))


def _empty(caption: str) -> str:
    return "" if caption.strip() else EMPTY


def repeated_share(text: str, n: int = 3) -> float:
    """Share of a text's word n-grams that stood in it before, in [0, 1]."""
    words = text.lower().split()
    grams = [tuple(words[start : start + n]) for start in range(len(words) - n + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def build_rewards(
    config: RewardConfig,
    clip: Clip,
    corpus: Keys | None = None,
    discriminator: Reward | None = None,
    references: Sequence[Sequence[str]] | None = None,
    sentences: Sequence[str] = (),
) -> dict[str, tuple[Reward, float]]:
    """The rewards that a config pays for, each with its weight, by name.

    Args:
        config: the weights.
        clip: the CLIP that sees.
        corpus: `(N, D)` features of the corpus; needed by `clip_agg`.
        discriminator: the naturalness reward.
        references: the training pictures' own captions, from which CIDEr-D takes its word frequencies.
        sentences: the corpus, by which `grammar` knows what is usual.

    Raises:
        UsageError: nothing has a weight, a reward needs what is not there or not allowed, or see `own_rewards`.
    """
    if config.own:
        return own_rewards(config)
    makers: dict[str, Callable[[], Reward]] = {
        "clip_cos": lambda: ClipCos(clip),
        "clip_agg": lambda: ClipAgg(clip, _needed(corpus), config.temperature, config.cos_weight, config.top_k),
        "naturalness": lambda: _given(discriminator, "naturalness"),
        "grammar": lambda: Usual.from_corpus(sentences),
        "repetition": Repetition,
        **{name: partial(_supervised, name, config, clip, references) for name in SUPERVISED},
    }
    if not config.weights:
        raise UsageError(f"reward: every weight is 0; set one of {', '.join(PAID)}")
    return {name: (makers[name](), weight) for name, weight in config.weights.items()}


def own_rewards(config: RewardConfig) -> dict[str, tuple[Reward, float]]:
    """The reward in place of the weights; the parts of a sum are paid and logged each by itself, as the weights are.

    Raises:
        UsageError: it compares with captions and `paired` is off, or what `build` says of `own`.
    """
    reward = build(config.own)
    if "reference" in reward.needs and not config.paired:
        raise UsageError(f"reward.own: {reward.name} {UNPAIRED}")
    if type(reward) is WeightedSum:
        return {name: (child, reward.weights[name]) for name, child in reward.children.items()}
    return {reward.name: (reward, 1.0)}


def _supervised(name: str, config: RewardConfig, clip: Clip, references: Sequence[Sequence[str]] | None) -> Reward:
    if not config.paired:
        raise UsageError(f"reward.{name} {UNPAIRED}")
    if name == "bleu":
        from common.rewards.text import Bleu

        return Bleu()
    if name == "similarity":
        from common.rewards.text import EncoderSimilarity

        return EncoderSimilarity(TextSide(clip))
    from common.rewards.text import CiderD
    from common.rewards.text.cider import DocumentFrequency

    if not references:
        raise UsageError("reward.cider takes its word frequencies from the training captions, and there are none")
    return CiderD(DocumentFrequency.from_references(references))


class TextSide:
    """A CLIP's text half as a sentence encoder."""

    def __init__(self, clip: Clip) -> None:
        self.clip = clip
        self.dim = clip.dim

    def encode(self, texts: Sequence[str]) -> Tensor:
        """`(B, D)` vectors of length 1."""
        return self.clip.text(list(texts)).cpu()


def _needed(corpus: Keys | None) -> Keys:
    if corpus is None:
        raise UsageError("reward.clip_agg needs the corpus' features")
    return corpus


def _given(reward: Reward | None, name: str) -> Reward:
    if reward is None:
        raise UsageError(f"reward.{name} has a weight, and there is no model for it here")
    return reward
