"""Settings of the scenes; nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass, field

from common.errors import UsageError


@dataclass
class MarchConfig:
    """How rays are followed through a radiance field.

    Attributes:
        samples: places a ray, spread evenly over its way through the box.
        empty: extinction per metre below which a place counts as empty and is skipped, where the field knows it; a
            picture's opacity changes by less than `empty` times the ray's way (at most 3.5 m). 0 skips nothing.
        hidden: places are skipped too where less than this share of the light comes through what is before them.
        rays: how many are followed at once; more rays than that are done in turns, and again in the backward pass, so
            that memory does not grow with their number.
    """

    samples: int = 48
    empty: float = 1e-3
    hidden: float = 1e-4
    rays: int = 16384

    def __post_init__(self) -> None:
        if self.samples < 1 or self.rays < 1 or self.empty < 0 or not 0 <= self.hidden < 1:
            raise UsageError(
                f"samples {self.samples} and rays {self.rays} must be at least 1, empty {self.empty} at least 0, and "
                f"hidden {self.hidden} in [0, 1)"
            )


@dataclass
class BlobConfig:
    r"""Where density starts: :math:`h \, (1 - |x| / r)` is added before the softplus (Magic3D, arXiv 2211.10440).

    Attributes:
        height: h; 0 for none.
        radius: r in metres.
        noise: standard deviation of the random start, before softplus and sigmoid.
    """

    height: float = 6.0
    radius: float = 0.6
    noise: float = 0.1

    def __post_init__(self) -> None:
        if self.radius <= 0 or self.noise < 0:
            raise UsageError(f"a blob's radius {self.radius} must be above 0 and its noise {self.noise} at least 0")


@dataclass
class VoxelConfig:
    """A radiance field on a voxel grid.

    Attributes:
        resolution: grid points along an edge.
        blob: where density starts.
        march: how rays are followed.
    """

    resolution: int = 48
    blob: BlobConfig = field(default_factory=BlobConfig)
    march: MarchConfig = field(default_factory=MarchConfig)

    def __post_init__(self) -> None:
        if self.resolution < 2:
            raise UsageError(f"a grid needs at least 2 points along an edge, not {self.resolution}")


@dataclass
class HashGridConfig:
    """A radiance field on a multi-resolution hash grid (Müller et al. 2022, arXiv 2201.05989).

    Attributes:
        levels: grids, each `growth` times finer than the one before.
        features: numbers at each grid point.
        log2_table: each level has at most 2 to this many entries.
        base: cells along an edge of the coarsest level.
        growth: see `levels`.
        hidden: width of the small network.
        blob: where density starts.
        march: how rays are followed.
    """

    levels: int = 8
    features: int = 2
    log2_table: int = 15
    base: int = 8
    growth: float = 1.447
    hidden: int = 32
    blob: BlobConfig = field(default_factory=BlobConfig)
    march: MarchConfig = field(default_factory=MarchConfig)

    def __post_init__(self) -> None:
        if min(self.levels, self.features, self.base, self.hidden) < 1 or not 1 <= self.log2_table <= 24:
            raise UsageError(
                f"levels {self.levels}, features {self.features}, base {self.base} and hidden {self.hidden} must be "
                f"at least 1, and log2_table {self.log2_table} from 1 to 24"
            )
        if self.levels > 64:
            raise UsageError(f"levels {self.levels}: at most 64, and the paper has 16")
        if self.growth < 1:
            raise UsageError(f"growth {self.growth} must be at least 1")


@dataclass
class GaussianConfig:
    """A scene of 3D Gaussians.

    Attributes:
        count: of them at the start.
        radius: of the ball that they start in, in metres.
        scale: their standard deviation at the start, in metres; None for the distance that fills the ball.
        opacity: each one's at the start, in (0, 1).
    """

    count: int = 1500
    radius: float = 0.8
    scale: float | None = None
    opacity: float = 0.3

    def __post_init__(self) -> None:
        if self.count < 1 or self.radius <= 0 or not 0 < self.opacity < 1:
            raise UsageError(
                f"count {self.count} must be at least 1, radius {self.radius} above 0 and opacity {self.opacity} "
                "between 0 and 1"
            )
        if self.scale is not None and self.scale <= 0:
            raise UsageError(f"scale {self.scale} must be above 0")


@dataclass
class DensifyConfig:
    """When Gaussians are added and taken away (Kerbl et al. 2023, arXiv 2308.04079, section 5).

    Attributes:
        every: steps between two changes of their number; 0 is never.
        begin: first step after which it may change: before, gradients speak of the random start.
        end: last one; 0 is no end. Gaussians need some steps after the last change to settle.
        gradient: mean norm of the loss's gradient at a Gaussian's place on the picture, of a loss
            that is a mean over views, per half picture height, from which on it is cloned or split. It grows with the
            weights of the guidances.
        large: standard deviation in metres that divides those to split from those to clone.
        opacity: those below are taken away.
        largest: those whose largest standard deviation is above, in metres, are taken away.
        most: none is added beyond this number; a start of more is not thinned.
    """

    every: int = 0
    begin: int = 50
    end: int = 0
    gradient: float = 2e-4
    large: float = 0.05
    opacity: float = 0.005
    largest: float = 0.5
    most: int = 5000

    def due(self, step: int) -> bool:
        """Whether the number of Gaussians may change after this step, counted from 1."""
        return self.active(step) and step >= self.begin and step % self.every == 0

    def active(self, step: int) -> bool:
        """Whether it may change after this step or a later one."""
        return self.every > 0 and (self.end == 0 or step <= self.end)

    def __post_init__(self) -> None:
        if min(self.every, self.begin, self.end) < 0 or 0 < self.end < self.begin:
            raise UsageError(
                f"densify: every {self.every}, begin {self.begin} and end {self.end} must be at least 0, and begin "
                "not after end"
            )
        if min(self.gradient, self.opacity) < 0 or not 0 < self.large <= self.largest or self.most < 1:
            raise UsageError(
                f"gradient {self.gradient} and opacity {self.opacity} must be at least 0, large {self.large} above 0 "
                f"and at most largest {self.largest}, and most {self.most} at least 1"
            )
