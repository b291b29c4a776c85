"""The application's settings. Nothing heavy is imported here: `--help` reads this module."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from apps.text3d.evaluate_config import EvaluateConfig
from apps.text3d.guidance_config import GuidanceConfig
from apps.text3d.optimise_config import OptimiseConfig
from apps.text3d.pretrain_config import PretrainConfig
from apps.text3d.reward_config import AuditConfig, RewardConfig
from apps.text3d.scenes.config import GaussianConfig, HashGridConfig, VoxelConfig
from apps.text3d.train_config import ComparisonConfig, TrainConfig
from common.errors import UsageError


@dataclass
class SceneConfig:
    """What is optimised.

    Attributes:
        kind: a radiance field on a voxel grid or a hash grid, or Gaussians.
        device: torch device that it lies and is rendered on, or `auto`. Guidances may be on others.
        backend: what draws Gaussians: `torch`, `gsplat` (CUDA kernels, an extra of its own), or `auto`: gsplat
            where it is installed and the scene lies on a GPU.
        voxel: settings of the voxel grid.
        hashgrid: of the hash grid.
        gaussians: of the Gaussians.
    """

    kind: Literal["voxel", "hashgrid", "gaussians"] = "voxel"
    device: str = "cpu"
    backend: Literal["auto", "torch", "gsplat"] = "auto"
    voxel: VoxelConfig = field(default_factory=VoxelConfig)
    hashgrid: HashGridConfig = field(default_factory=HashGridConfig)
    gaussians: GaussianConfig = field(default_factory=GaussianConfig)


@dataclass
class ExportConfig:
    """What is written of a finished scene.

    Attributes:
        resolution: voxels a side for the mesh; 0 writes none.
        level: density per metre at the mesh's surface; found in the scene where not given.
        smallest: parts with less than this share of the volume are left out of the mesh.
        frames: of the turntable; 0 writes none.
        size: height and width of its frames and of the contact sheet's views, in pixels.
        views: of the contact sheet.
    """

    resolution: int = 96
    level: float | None = None
    smallest: float = 0.0
    frames: int = 48
    size: int = 168
    views: int = 6

    def __post_init__(self) -> None:
        # Now: else it would be told of when the scene is done.
        if self.resolution != 0 and self.resolution < 4:
            raise UsageError(f"export.resolution {self.resolution}: use 4 or more, or 0 for no mesh")
        if not (self.level is None or self.level > 0) or not 0 <= self.smallest < 1:
            raise UsageError(
                f"export.level {self.level} must be above 0, and export.smallest {self.smallest} in [0, 1)"
            )
        if self.frames < 0 or min(self.size, self.views) < 1:
            raise UsageError(
                f"export.frames {self.frames} must be at least 0, export.size {self.size} and export.views "
                f"{self.views} at least 1"
            )


@dataclass
class Text3dConfig:
    """Settings of text-to-3D.

    Attributes:
        scene: what is optimised.
        guidance: what it should look like.
        optimise: how.
        export: what is written.
        train: the prompts of `train`.
        comparison: recipes and seeds of `train`.
        pretrain: the pocket models, made from nothing.
        evaluate: what finished scenes are measured with.
        reward: what `score` pays for and `audit` assays.
        audit: what it is assayed with.
        seed: of everything random.
        threads: CPU threads of torch; 0 leaves torch's own choice.
        runs: folder of the run folders.
        save_every: steps between checkpoints.
        preview_every: steps between the pictures in `samples/`.
        turntable_every: steps between small turntables beside them, as GIFs; 0 makes none. One takes the time of 16
            views.
    """

    scene: SceneConfig = field(default_factory=SceneConfig)
    guidance: GuidanceConfig = field(default_factory=GuidanceConfig)
    optimise: OptimiseConfig = field(default_factory=OptimiseConfig)
    export: ExportConfig = field(default_factory=ExportConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    comparison: ComparisonConfig = field(default_factory=ComparisonConfig)
    pretrain: PretrainConfig = field(default_factory=PretrainConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    reward: RewardConfig = field(default_factory=RewardConfig)
    audit: AuditConfig = field(default_factory=AuditConfig)
    seed: int = 0
    threads: int = 1
    runs: str = "runs/text3d"
    save_every: int = 100
    preview_every: int = 50
    turntable_every: int = 0

    def __post_init__(self) -> None:
        if self.optimise.densify.every and self.scene.kind != "gaussians":
            raise UsageError(
                f"optimise.densify is of scenes of Gaussians, and scene.kind is {self.scene.kind}; set "
                "optimise.densify.every to 0 or scene.kind to gaussians"
            )
        if self.scene.backend == "gsplat" and self.scene.kind != "gaussians":
            raise UsageError(
                f"scene.backend: gsplat draws Gaussians, and scene.kind is {self.scene.kind}; set it to gaussians, or "
                "scene.backend to auto"
            )
