"""The application's settings. Nothing heavy is imported here: `--help` reads this module."""

from __future__ import annotations

from dataclasses import dataclass, field

from apps.captioning.data_config import CorpusConfig, PicturesConfig
from apps.captioning.model_config import CaptionerConfig, ClipConfig, DiscriminatorConfig
from apps.captioning.train_config import CompareConfig, InitConfig, RewardConfig, RlConfig


@dataclass
class EvaluateConfig:
    """How captions are measured.

    Args:
        metrics: names, in the order shown; one that cannot run is reported and the others stay. `scene`: what the
            pocket world knows; `held_out_clip`: the cosine under `second_clip`. SPICE (`spice`) is not among them by
            default, because it needs models of 385 MB.
        beam: captions kept while searching; 1 decodes greedily.
        batch_size: pictures captioned together.
        prefix: put before every caption for CLIPScore.
        second_clip: a CLIP that no reward has used, to show reward hacking; empty leaves it out.
        spice_jars: folder of SPICE's Stanford models, where they are installed.
    """

    metrics: list[str] = field(
        default_factory=lambda: [
            "bleu",
            "meteor",
            "rouge_l",
            "cider_d",
            "clip_score",
            "ref_clip_score",
            "retrieval",
            "diversity",
            "scene",
            "held_out_clip",
        ]
    )
    beam: int = 1
    batch_size: int = 128
    prefix: str = ""
    second_clip: str = "local-dir:assets/captioning/clip-held-out"
    spice_jars: str = ""


@dataclass
class PretrainConfig:
    """The pocket models, made from nothing by `pretrain`.

    Args:
        vocabulary: most tokens of the pocket tokenizer.
        clip_steps: steps of the contrastive training.
        decoder_width: width of the pocket GPT-2.
        decoder_layers: its layers.
        decoder_steps: steps of its language modelling.
        discriminator_width: width of the pocket RoBERTa.
        discriminator_steps: steps against damaged sentences.
        captioner_sentences: of the text-only initialisation, more than `train` itself has time for.
        captioner_steps: of that initialisation, which is without noise.
        captioner_learning_rate: of that initialisation; its other settings are those of `init`.
    """

    vocabulary: int = 1024
    clip_steps: int = 3000
    decoder_width: int = 128
    decoder_layers: int = 4
    decoder_steps: int = 600
    discriminator_width: int = 96
    discriminator_steps: int = 2000
    captioner_sentences: int = 100_000
    captioner_steps: int = 6000
    captioner_learning_rate: float = 2e-3


@dataclass
class CaptioningConfig:
    """Settings of captioning.

    Args:
        clip: the CLIP that sees.
        captioner: the model that is trained, measured and asked.
        discriminator: the judge of naturalness.
        train: pictures to train on; their captions are not looked at.
        corpus: sentences to train on; they belong to none of these pictures.
        validation: pictures on which the best weights are chosen, without their captions.
        heldout: pictures to measure on; never trained on.
        reward: what a caption is paid for.
        init: text-only initialisation.
        rl: reinforcement.
        pretrain: the pocket models.
        evaluate: how captions are measured.
        comparison: several methods or seeds in one command.
        seed: seed of everything random.
        threads: CPU threads of torch; 0 leaves torch's own choice.
        runs: folder of the run folders.
    """

    clip: ClipConfig = field(default_factory=ClipConfig)
    captioner: CaptionerConfig = field(default_factory=CaptionerConfig)
    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)
    train: PicturesConfig = field(default_factory=PicturesConfig)
    corpus: CorpusConfig = field(default_factory=CorpusConfig)
    validation: PicturesConfig = field(default_factory=lambda: PicturesConfig(split="validation"))
    heldout: PicturesConfig = field(default_factory=lambda: PicturesConfig(split="test"))
    reward: RewardConfig = field(default_factory=RewardConfig)
    init: InitConfig = field(default_factory=InitConfig)
    rl: RlConfig = field(default_factory=RlConfig)
    pretrain: PretrainConfig = field(default_factory=PretrainConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    comparison: CompareConfig = field(default_factory=CompareConfig)
    seed: int = 0
    threads: int = 1
    runs: str = "runs/captioning"

    @property
    def start(self) -> str:
        """Folder of the captioner that training starts from; empty where one is made anew."""
        return self.captioner.path or self.init.path

    @property
    def init_steps(self) -> int:
        """Steps of the initialisation: of a captioner made anew, or further ones of the one that is loaded."""
        return self.init.further if self.start else self.init.steps
