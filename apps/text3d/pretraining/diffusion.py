"""The pocket diffusion model: of diffusers' and transformers' own classes, trained from nothing."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from apps.text3d.pretrain_config import DiffusionConfig
from apps.text3d.pretraining.pictures import Pictures
from apps.text3d.pretraining.text import token_table
from common.training.scheduled import ScheduledLearner

if TYPE_CHECKING:
    from collections.abc import Sequence

    from apps.text3d.guidance.prior import DiffusionPrior


def make_prior(config: DiffusionConfig, texts: Sequence[str], seed: int) -> DiffusionPrior:
    """An untrained model.

    It predicts v (Salimans and Ho 2022), whose loss weighs all amounts of noise alike, on a cosine schedule (Nichol
    and Dhariwal 2021), which leaves small pictures visible for longer.

    Args:
        config: sizes.
        texts: that its tokenizer is trained on.
        seed: of the weights; torch's own generator is left as it was.
    """
    import diffusers
    from transformers import CLIPTextConfig, CLIPTextModel

    from apps.text3d.guidance.prior import DiffusionPrior
    from common.models.clip_folder import compact_tokenizer

    library: Any = diffusers  # its constructors have no types
    tokenizer = compact_tokenizer(texts, config.vocabulary, config.tokens)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(tokenizer),
                hidden_size=config.text_width,
                intermediate_size=2 * config.text_width,
                num_hidden_layers=config.text_layers,
                num_attention_heads=4,
                max_position_embeddings=config.tokens,
                eos_token_id=tokenizer.eos_token_id,
                bos_token_id=tokenizer.bos_token_id,
                pad_token_id=tokenizer.pad_token_id,
            )
        )
        unet = library.UNet2DConditionModel(
            sample_size=config.size // config.fold,
            block_out_channels=tuple(config.channels),
            layers_per_block=config.layers,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            in_channels=3 * config.fold**2,
            out_channels=3 * config.fold**2,
            cross_attention_dim=config.text_width,
            # diffusers takes this for the number of heads (huggingface/diffusers #2011).
            attention_head_dim=4,
            norm_num_groups=8,
        )
    scheduler = library.DDPMScheduler(
        config.timesteps, beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction"
    )
    return DiffusionPrior(unet, scheduler, None, encoder, tokenizer, "the pocket diffusion model")


class DiffusionLearner(ScheduledLearner):
    """Learns to take noise away from pictures, told what they show.

    The loss is the mean squared error of v. A running mean of the weights is kept, and is what `averaged` returns.

    Args:
        config: sizes and steps.
        pictures: to learn from.
        prior: the model; trained in place.
        seed: of order, noise and backgrounds.
    """

    def __init__(self, config: DiffusionConfig, pictures: Pictures, prior: DiffusionPrior, seed: int) -> None:
        self.prior = prior
        model = nn.ModuleDict({"unet": self.prior.unet, "text": self.prior.text_encoder})
        model.requires_grad_(True)
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.0, weight_decay=0.01)
        super().__init__(model, optimizer, len(pictures), config.steps, config.batch_size, config.learning_rate, seed)
        self.config, self.pictures = config, pictures
        self.generator = torch.Generator().manual_seed(seed)
        self.mean = copy.deepcopy(model).requires_grad_(False)
        self.tokens = token_table(pictures, prior.tokenizer, config.tokens)

    def loss(self, rows: list[int]) -> Tensor:
        """See `ScheduledLearner.loss`."""
        count = len(rows)
        draw = torch.rand(5, count, generator=self.generator)
        clean = self.prior.encode(self.pictures.on(rows, backgrounds(draw[:3].T)))
        timesteps = torch.randint(0, self.prior.timesteps, (count,), generator=self.generator)
        noise = torch.randn(clean.shape, generator=self.generator)
        alpha = self.prior.alphas(timesteps)
        noisy = alpha.sqrt() * clean + (1 - alpha).sqrt() * noise
        wanted = alpha.sqrt() * noise - (1 - alpha).sqrt() * clean
        # 0: no text, 1: without direction, 2: whole.
        kind = (draw[3] >= self.config.no_text).long() * (1 + (draw[4] >= self.config.no_direction).long())
        read = self.model["text"](self.tokens[rows, kind].long())[0]
        said = self.model["unet"](noisy, timesteps, encoder_hidden_states=read).sample
        return functional.mse_loss(said, wanted)

    def step(self) -> dict[str, float]:
        """See `ScheduledLearner.step`; the running mean follows, faster at the beginning."""
        figures = super().step()
        share = 1 - min(self.config.average, (1 + self.steps) / (10 + self.steps))
        with torch.no_grad():
            for kept, new in zip(self.mean.parameters(), self.model.parameters(), strict=True):
                kept.lerp_(new, share)
        return figures

    def averaged(self) -> DiffusionPrior:
        """The model with the running mean of its weights."""
        from apps.text3d.guidance.prior import DiffusionPrior

        unet, text = copy.deepcopy(self.mean["unet"]), copy.deepcopy(self.mean["text"])
        return DiffusionPrior(unet, self.prior.scheduler, None, text, self.prior.tokenizer, self.prior.name)

    def state(self) -> dict[str, Any]:
        """See `ScheduledLearner.state`."""
        return super().state() | {"mean": self.mean.state_dict(), "generator": self.generator.get_state()}

    def restore(self, state: dict[str, Any]) -> None:
        """See `ScheduledLearner.restore`."""
        super().restore(state)
        self.mean.load_state_dict(state["mean"])
        self.generator.set_state(state["generator"])


def backgrounds(unit: Tensor) -> Tensor:
    """`(B, 3)` colours: a third white, the others random, as `scenes.backgrounds` has them."""
    white = unit[:, :1] < 1 / 3
    # The first number has said whether it is white; stretched, it is even in [0, 1] again.
    first = ((unit[:, :1] - 1 / 3) * 1.5).clamp(0, 1)
    return torch.where(white, torch.ones_like(unit), torch.cat([first, unit[:, 1:]], 1))
