"""Tiny untrained models of the real classes, to try a configuration with: they show that the parts fit together."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from apps.text3d.config import Text3dConfig
from apps.text3d.guidance.prior import DiffusionPrior, save_prior
from apps.text3d.marks import UNTRAINED, used
from common.models.clip_folder import compact_tokenizer
from common.models.small_vlm import make_small_vlm, save_small_vlm

#: Pixels a side of what is rendered for them: two image tokens of 28.
SIDE = 56


def stand_in_config(config: Text3dConfig, texts: Sequence[str], folder: Path) -> Text3dConfig:
    """The configuration with a tiny scene on the CPU and tiny models in a folder; all else is as it was.

    CLIP guidance is left out: OpenCLIP's smallest model is not small.

    Args:
        config: to try.
        texts: that the models are to read, for their tokenizers.
        folder: where the models are written.
    """
    tried = copy.deepcopy(config)
    guidance, scene = tried.guidance, tried.scene
    if used(guidance.sds.weight, "guidance.sds.weight"):
        guidance.sds.model = str(save_prior(stable_diffusion(texts), folder / "diffusion-untrained"))
        guidance.sds.device, guidance.sds.dtype = "cpu", "float32"
    guidance.clip.weight = 0.0
    vlm = guidance.vlm
    if any(used(getattr(vlm, kind), kind) for kind in ("semantic", "spatial", "consistency")):
        words = [f"{text} yes no Yes No YES NO" for text in texts]
        save_small_vlm(*make_small_vlm(words * 3), folder / "vlm-untrained")
        vlm.model, vlm.device, vlm.dtype = str(folder / "vlm-untrained"), "cpu", "float32"
    scene.device = "cpu"
    scene.voxel.resolution, scene.gaussians.count = 12, 60
    scene.hashgrid.levels, scene.hashgrid.log2_table, scene.hashgrid.base, scene.hashgrid.hidden = 4, 10, 4, 8
    scene.voxel.march.samples = scene.hashgrid.march.samples = 16
    tried.optimise.size = SIDE
    return tried


def stable_diffusion(texts: Sequence[str]) -> DiffusionPrior:
    """A latent diffusion model of Stable Diffusion's classes with less than a million weights."""
    import diffusers
    import torch
    from transformers import CLIPTextConfig, CLIPTextModel

    library: Any = diffusers
    tokenizer = compact_tokenizer(list(texts), vocab_size=400, context_length=77)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        unet = library.UNet2DConditionModel(
            sample_size=8,
            block_out_channels=(8, 16),
            layers_per_block=1,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=16,
            attention_head_dim=4,
            norm_num_groups=4,
        )
        vae = library.AutoencoderKL(
            block_out_channels=(8, 8, 8, 8),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=1,
            norm_num_groups=4,
            sample_size=64,
        )
        text = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(tokenizer),
                hidden_size=16,
                intermediate_size=32,
                num_hidden_layers=1,
                num_attention_heads=2,
                eos_token_id=tokenizer.eos_token_id,
                bos_token_id=tokenizer.bos_token_id,
                pad_token_id=tokenizer.pad_token_id,
            )
        )
    return DiffusionPrior(unet, library.DDPMScheduler(), vae, text, tokenizer, UNTRAINED)
