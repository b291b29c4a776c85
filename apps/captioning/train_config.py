"""Settings of training. Nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

#: What a caption may be paid for: the weights of `RewardConfig`.
PAID = ("clip_cos", "clip_agg", "naturalness", "cider", "bleu", "similarity", "grammar", "repetition")


@dataclass
class InitConfig:
    """Text-only initialisation: the decoder learns to say a sentence from the sentence's own CLIP feature.

    Args:
        path: folder of an initialised captioner to start from; where empty, one is made anew from `captioner.decoder`.
        steps: optimiser steps of a captioner that is made anew.
        further: steps of one that is loaded.
        batch_size: sentences of a step, of all processes together.
        learning_rate: highest; it falls to a tenth along a cosine.
        warmup: steps until it is reached.
        weight_decay: of AdamW.
        noise: variance of the Gaussian noise added to the feature (CapDec: 0.016); 0 adds none.
        label_smoothing: of the cross-entropy (DeCap: 0.1).
        save_every: steps between checkpoints; 0 saves only where the stage is stopped.
        micro_batch: sentences of one forward and backward pass, where a step's do not fit into memory; 0 takes all at
            once. The gradient is the same, but for dropout.
    """

    path: str = ""
    steps: int = 1000
    further: int = 0
    batch_size: int = 64
    learning_rate: float = 1e-3
    warmup: int = 50
    weight_decay: float = 0.05
    noise: float = 0.0
    label_smoothing: float = 0.0
    save_every: int = 250
    micro_batch: int = 0


@dataclass
class RewardConfig:
    """What a caption is paid for; each weight multiplies that reward's advantage, 0 leaves the reward out.

    Args:
        clip_cos: cosine of picture and caption, times CLIP's own scale.
        clip_agg: closeness of the caption to the picture's target in text space: the mean of the corpus' text
            features under attention from the picture.
        naturalness: the discriminator's logit.
        cider: CIDEr-D against the pictures' own captions: supervised, needs `paired`.
        bleu: BLEU-4 against them, likewise.
        similarity: best cosine, under CLIP's text encoder, to their captions: likewise.
        grammar: share of the caption's word pairs that the corpus uses too.
        repetition: minus the share of repeated trigrams.
        paired: the trainer may see the training pictures' own captions.
        temperature: of the attention over the corpus (CgT-GAN: 100 for COCO, 175 for GCC).
        cos_weight: share of the cosine in `clip_agg`; the rest is the mean absolute difference.
        top_k: corpus sentences that the attention keeps; 0 keeps all (exact).
        own: a `reward:` block as `configs/rewards` has them, such as `{name: length_window, low: 5, high: 12}`, in
            place of all weights; it finds CLIP features as `images`, under `paired` the picture's captions as
            `reference`, and `step`. See common/rewards/README.md.
    """

    clip_cos: float = 1.0
    clip_agg: float = 0.0
    naturalness: float = 0.0
    cider: float = 0.0
    bleu: float = 0.0
    similarity: float = 0.0
    grammar: float = 0.0
    repetition: float = 0.0
    paired: bool = False
    temperature: float = 100.0
    cos_weight: float = 0.5
    top_k: int = 0
    own: dict[str, Any] = field(default_factory=dict)

    @property
    def weights(self) -> dict[str, float]:
        """What has a weight, by name; nothing where another reward stands in its place."""
        return {} if self.own else {name: getattr(self, name) for name in PAID if getattr(self, name)}


@dataclass
class RlConfig:
    """Reinforcement on pictures without captions.

    Args:
        algorithm: `scst` (REINFORCE against `baseline`), `grpo` (group mean and deviation), or `dico` (the best of the
            group against the others, relative to the initial captioner).
        steps: optimiser steps; 0 stops after the initialisation.
        pictures_per_step: pictures of a step, of all processes together.
        samples: captions sampled for each picture.
        keep: how many of them the gradient is taken of, the best and the worst, half and half (PODS, arXiv
            2504.13818: saying captions costs less than learning from them); 0 keeps all.
        baseline: `greedy` (self-critical), `leave_one_out` (mean of the other samples) or `mean`.
        scale: `batch` divides advantages by their deviation over the step, `group` over each picture's samples.
        length_normalise: take each caption's mean log-probability over its tokens, not the sum.
        learning_rate: highest.
        warmup: steps until it is reached.
        schedule: `constant`, or `cosine` down to a tenth.
        weight_decay: of AdamW.
        temperature: of sampling.
        beta: strength of the pull to the initial captioner: of the KL penalty (`scst`, `grpo`), of DiCO's margin.
        dico_temperature: of DiCO's weights over the worse captions.
        text_weight: weight of the text-only cross-entropy beside the reward.
        text_noise: variance of the Gaussian noise that is added to its features, as `init.noise`.
        ramp_start: steps with naturalness alone, as published; 0 and `ramp_steps: 0` pay every reward from the start.
        ramp_steps: steps over which the CLIP rewards' share then rises to `ramp_top`.
        ramp_top: final share of the CLIP rewards; naturalness gets the rest.
        eval_every: steps between measurements on held-out pictures; 0 measures at the end only.
        save_every: steps between checkpoints; 0 saves at the end only.
        select: which weights are kept: the ones with the highest `reward` on held-out pictures, the `last`, or, for
            comparison with papers that did so, the best on annotated `captions` of held-out pictures.
        micro_batch: captions of one forward and backward pass, where a step's do not fit into memory; 0 takes all at
            once. The gradient is the same. `dico` needs a picture's `samples` together.
    """

    algorithm: Literal["scst", "grpo", "dico"] = "scst"
    steps: int = 200
    pictures_per_step: int = 32
    samples: int = 8
    keep: int = 0
    baseline: Literal["greedy", "leave_one_out", "mean"] = "leave_one_out"
    scale: Literal["batch", "group", "none"] = "batch"
    length_normalise: bool = True
    learning_rate: float = 2e-4
    warmup: int = 5
    schedule: Literal["constant", "cosine"] = "cosine"
    weight_decay: float = 0.0
    temperature: float = 1.0
    beta: float = 0.0
    dico_temperature: float = 1.0
    text_weight: float = 0.0
    text_noise: float = 0.0
    ramp_start: int = 0
    ramp_steps: int = 0
    ramp_top: float = 0.5
    eval_every: int = 50
    save_every: int = 50
    select: Literal["reward", "last", "captions"] = "reward"
    micro_batch: int = 0


@dataclass
class CompareConfig:
    """Several runs side by side; empty lists mean one run with the settings above.

    Args:
        methods: names of `apps.captioning.comparison.METHODS`.
        seeds: seeds to train with.
    """

    methods: list[str] = field(default_factory=list)
    seeds: list[int] = field(default_factory=list)
