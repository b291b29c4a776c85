"""Settings of the models. Nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass
class ClipConfig:
    """The frozen CLIP that sees the pictures.

    Args:
        name: OpenCLIP's model name, `hf-hub:org/name`, or `local-dir:FOLDER`.
        pretrained: OpenCLIP's tag of the weights; empty for a folder.
        device: torch device; `auto` takes a GPU where there is one.
        batch_size: pictures or texts encoded together.
        cache: folder of computed features; empty keeps none.
    """

    name: str = "local-dir:assets/captioning/clip"
    pretrained: str = ""
    device: str = "auto"
    batch_size: int = 256
    cache: str = ""


@dataclass
class CaptionerConfig:
    """The captioner: mapper and decoder.

    Args:
        path: a captioner's folder, to measure, ask or train further. Where empty, the shipped one is measured and
            asked, and training starts from `init.path`.
        decoder: GPT-2-class language model of a captioner that is made anew: hub id or folder.
        mapper: from a CLIP feature to the decoder's prefix: `mlp` (ClipCap's, CgT-GAN's) or `transformer`.
        prefix_length: prefix vectors.
        mapper_layers: of the transformer mapper.
        normalize_prefix: scale every prefix vector to length 1.
        max_new_tokens: longest caption, in tokens, the end token included.
        projection: at use, a picture's feature is replaced by the softmax-weighted mean of the corpus' text features
            at this temperature (DeCap); 0 uses the feature, aligned where the captioner is.
        align: before the reinforcement, learn to move pictures' features to where the corpus' features lie, by optimal
            transport of the one set to the other; no picture is paired with a sentence.
        device: torch device; `auto` takes a GPU where there is one.
    """

    path: str = ""
    decoder: str = "assets/captioning/decoder"
    mapper: Literal["mlp", "transformer"] = "mlp"
    prefix_length: int = 4
    mapper_layers: int = 4
    normalize_prefix: bool = False
    max_new_tokens: int = 40
    projection: float = 0.0
    align: bool = False
    device: str = "auto"


@dataclass
class DiscriminatorConfig:
    """The judge of naturalness, trained beside the captioner.

    Args:
        path: RoBERTa-class model to start from: hub id or folder.
        learning_rate: of its own optimiser.
        pretrain_steps: steps against the initial captioner's captions before reinforcement begins.
        label_smoothing: real is 1 minus this, generated is this.
        gradient_penalty: weight of the R1 penalty on the embeddings of real sentences; 0 leaves it out.
        spectral_norm: bound every linear layer's largest singular value by 1.
        gate: the naturalness reward counts only while the discriminator tells real from generated at least this well
            (running AUC): an untrained one pays for noise.
        collapse_accuracy: running accuracy above which an alarm is raised.
        micro_batch: texts of one forward and backward pass, where a step's do not fit into memory; 0 takes all at
            once. The gradient is the same, but for dropout.
    """

    path: str = "assets/captioning/discriminator"
    learning_rate: float = 2e-4
    pretrain_steps: int = 0
    label_smoothing: float = 0.1
    gradient_penalty: float = 0.0
    spectral_norm: bool = False
    gate: float = 0.6
    collapse_accuracy: float = 0.97
    micro_batch: int = 0
