"""Untrained diffusion models of the real classes, a few hundred kB each, and views without a scene."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from apps.text3d.cameras import Cameras, orbit
from apps.text3d.guidance.prior import DiffusionPrior
from apps.text3d.scenes.base import Views
from common.models.clip_folder import compact_tokenizer

TEXTS = ("a red cube left of a blue sphere, front view", "two small green cones above a yellow torus, back view")


def views_of(rgb: torch.Tensor) -> Views:
    """Views that show `(B, 3, H, W)` pictures, half opaque."""
    one = torch.ones_like(rgb[:, :1])
    return Views(rgb, 0.5 * one, 2 * one, torch.zeros_like(rgb))


def pictures(count: int, size: int = 16, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, size, size, generator=generator, dtype=torch.float64).to(dtype)


def cameras(count: int, size: int = 16) -> Cameras:
    return orbit([360.0 * row / count for row in range(count)], size=size)


def scheduler(prediction: str = "epsilon") -> Any:
    from diffusers import DDPMScheduler

    return DDPMScheduler(num_train_timesteps=100, prediction_type=prediction)


def text_parts(tokens: int = 77) -> dict[str, Any]:
    from transformers import CLIPTextConfig, CLIPTextModel

    tokenizer = compact_tokenizer(TEXTS, vocab_size=300, context_length=tokens)
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=tokens,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=tokenizer.bos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    encoder = CLIPTextModel(config)
    with torch.no_grad():
        encoder.get_input_embeddings().weight.mul_(50)  # words, not places, decide what an untrained text means
    return {"text_encoder": encoder, "tokenizer": tokenizer}


def unet(channels: int = 3, size: int = 16) -> Any:
    from diffusers import UNet2DConditionModel

    made = UNet2DConditionModel(
        sample_size=size,
        in_channels=channels,
        out_channels=channels,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=16,
        attention_head_dim=4,
        norm_num_groups=4,
    )
    with torch.no_grad():
        for name, weight in made.named_parameters():
            if "attn2" in name and weight.ndim > 1:
                weight.mul_(4)  # the text shows in the noise
    return made


def seeded(seed: int) -> torch.Generator:
    """Seed torch for the weights of a model."""
    return torch.manual_seed(seed)


def pixel_prior(prediction: str = "epsilon", tokens: int = 77) -> DiffusionPrior:
    with torch.random.fork_rng():
        seeded(0)
        return DiffusionPrior(unet(), scheduler(prediction), **text_parts(tokens), name="tiny")


def unconditional_prior() -> DiffusionPrior:
    from diffusers import UNet2DModel

    with torch.random.fork_rng():
        seeded(0)
        model = UNet2DModel(
            sample_size=16,
            block_out_channels=(8, 8),
            layers_per_block=1,
            down_block_types=("DownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "UpBlock2D"),
            norm_num_groups=4,
        )
    return DiffusionPrior(model, scheduler(), name="tiny")


def stable_diffusion_folder(path: Path) -> Path:
    """A folder as diffusers' own `StableDiffusionPipeline` saves it: 4 latents, the VAE halves twice."""
    from diffusers import AutoencoderKL, StableDiffusionPipeline

    with torch.random.fork_rng():
        seeded(0)
        vae = AutoencoderKL(
            block_out_channels=(8, 8, 8),
            down_block_types=("DownEncoderBlock2D",) * 3,
            up_block_types=("UpDecoderBlock2D",) * 3,
            layers_per_block=1,
            latent_channels=4,
            norm_num_groups=4,
            sample_size=32,
        )
        parts = text_parts()
        pipeline = StableDiffusionPipeline(
            vae=vae,
            unet=unet(4, 8),
            scheduler=scheduler(),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
            **parts,
        )
    pipeline.save_pretrained(path)
    return path
