"""Tiny untrained models of the real classes, to try a configuration with: they show that the parts fit together."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from apps.text3d.config import Text3dConfig
from apps.text3d.guidance.prior import DiffusionPrior, save_prior
from apps.text3d.guidance.provenance import UNTRAINED, used
from common.models.clip_folder import compact_tokenizer, save_clip
from common.models.small_vlm import make_small_vlm, save_small_vlm

#: Pixels a side of what is rendered for them: two image tokens of 28.
SIDE = 56


def stand_in_config(config: Text3dConfig, texts: Sequence[str], folder: Path) -> Text3dConfig:
    """The configuration with a tiny scene on the CPU and tiny models in a folder; all else is as it was.

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
        guidance.sds.judge = {}  # its models are known to the reward alone
    if used(guidance.clip.weight, "guidance.clip.weight"):
        guidance.clip.name = f"local-dir:{save_open_clip(texts, folder / 'clip-untrained')}"
        guidance.clip.device = "cpu"
    vlm = guidance.vlm
    if any(used(getattr(vlm, kind), kind) for kind in ("semantic", "spatial", "consistency")):
        words = [f"{text} yes no Yes No YES NO" for text in texts]
        save_small_vlm(*make_small_vlm(words * 3), folder / "vlm-untrained")
        vlm.model, vlm.device, vlm.dtype = str(folder / "vlm-untrained"), "cpu", "float32"
    # Its models are known to the reward alone.
    guidance.own.weight = 0.0
    scene.device, scene.backend = "cpu", "torch"
    scene.voxel.resolution, scene.gaussians.count = 12, 60
    scene.hashgrid.levels, scene.hashgrid.log2_table, scene.hashgrid.base, scene.hashgrid.hidden = 4, 10, 4, 8
    scene.voxel.march.samples = scene.hashgrid.march.samples = 16
    tried.optimise.size = SIDE
    return tried


def save_open_clip(texts: Sequence[str], folder: Path) -> Path:
    """A folder with an OpenCLIP model of about 50,000 weights."""
    import open_clip
    import torch

    tokenizer = compact_tokenizer(list(texts), vocab_size=400, context_length=77)
    config = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": SIDE, "patch_size": 28, "width": 16, "layers": 1, "head_width": 8},
        "text_cfg": {"context_length": 77, "vocab_size": len(tokenizer), "width": 16, "heads": 2, "layers": 1},
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return save_clip(open_clip.CLIP(**config), tokenizer, config, folder)


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
