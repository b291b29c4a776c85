"""Optimises one scene under weighted guidances, step by step; what can go wrong is caught early and told.

`SceneLearner` is a learner of `common.training.stage.run_stage`, which logs, saves, resumes and stops cleanly. All
randomness comes from generators of the learner's and the guidances' own, kept in its checkpoints: a resumed
optimisation equals the uninterrupted one bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from logging import getLogger
from typing import Any, Protocol

import torch
from torch import Tensor

from apps.text3d.cameras import Cameras, drawn
from apps.text3d.guidance.base import NotFinite, Weighted
from apps.text3d.optimise_config import OptimiseConfig
from apps.text3d.scenes.backgrounds import LearnedBackground, background
from apps.text3d.scenes.base import Scene, Views
from apps.text3d.scenes.densify import Densifier
from apps.text3d.scenes.gaussians import GaussianScene
from common.errors import TouchstoneError, UsageError

logger = getLogger(__name__)

#: A scene that covers more of its pictures than this shows a box: an object leaves air around it.
FULL = 0.9
#: What torch raises where memory runs out, by the text of the message on the CPU.
CPU_MEMORY = "DefaultCPUAllocator"
#: Rate of a learned background, as a share of the scene's: threestudio's, and low, so that the scene leads.
BACKGROUND_RATE = 0.1
NO_GAUSSIANS = "optimise.densify is of scenes of Gaussians; set optimise.densify.every to 0 or scene.kind to gaussians"
#: `(scene, views, cameras, step)` to a loss and figures.
Regulariser = Callable[[Any, Views, Cameras, int], tuple[Tensor, dict[str, float]]]


class SceneFailure(TouchstoneError):
    """The optimisation went wrong; the message says what and what to change."""


class Collapsed(SceneFailure):
    """The guidances have emptied the scene: what came out is nothing."""


class SceneModule(Scene, Protocol):
    """A scene as the learner needs it: also a module's state."""

    def state_dict(self) -> dict[str, Any]:
        """Its tensors."""

    def load_state_dict(self, state: Mapping[str, Any]) -> Any:
        """Put them back."""


class SceneLearner:
    """One scene, its guidances and its optimiser.

    Args:
        make: a new scene from a generator; called at the beginning, and again where the scene was lost.
        guidance: what it is to look like.
        config: the settings.
        seed: of viewpoints, backgrounds, samples and the guidances' noise.
        regulariser: added to the guidances; none by default.

    Raises:
        UsageError: `config.densify` is on, and the scene is not of Gaussians.
    """

    def __init__(
        self,
        make: Callable[[torch.Generator], SceneModule],
        guidance: Weighted,
        config: OptimiseConfig,
        seed: int,
        regulariser: Regulariser | None = None,
    ) -> None:
        self.make, self.guidance, self.config, self.regulariser = make, guidance, config, regulariser
        self.generator = torch.Generator().manual_seed(seed)
        self.scene = make(self.generator)
        self.backdrop = LearnedBackground() if config.background == "learned" else None
        self.optimizer, self.densifier = self._optimizer(), self._densifier()
        self.steps = 0
        self.skipped = 0
        self.skipped_in_a_row = 0
        self.empty = 0
        self.full = 0
        self.seeded_anew = False

    def _optimizer(self) -> torch.optim.Optimizer:
        groups = self.scene.parameter_groups(self.config.learning_rate)
        if self.backdrop is not None:
            rate = BACKGROUND_RATE * self.config.learning_rate
            groups = [*groups, {"params": list(self.backdrop.parameters()), "lr": rate, "name": "background"}]
        return torch.optim.Adam(groups, betas=(0.9, 0.99), eps=1e-15)

    def _densifier(self) -> Densifier | None:
        if not self.config.densify.every:
            return None
        if not isinstance(self.scene, GaussianScene):
            raise UsageError(NO_GAUSSIANS)
        return Densifier(self.scene, self.config.densify)

    def step(self) -> dict[str, float]:
        """Render, ask the guidances, and move the scene; a loss that is no number moves nothing.

        Raises:
            SceneFailure: no memory, too many losses in a row that are no numbers, or a scene that stays empty.
        """
        cameras, behind = self._look()
        figures: dict[str, float] = {}
        culprit = ""
        with _memory_told(cameras, self.scene):
            views = self.scene.render(cameras, behind, self.generator)
            try:
                loss, figures = self._loss(views, cameras)
                self.optimizer.zero_grad()
                torch.autograd.backward(loss)
                if not self._finite_gradients():
                    culprit = "the scene's gradient"
                else:
                    self._observe(cameras)
            except NotFinite as error:
                culprit = error.term
        opacity = float(views.opacity.detach().mean())
        if not culprit:
            self.optimizer.step()
            figures["loss"] = float(loss.detach())
            figures |= self._densify()
        self._count(culprit)
        self._watch(opacity)
        self.steps += 1
        return {"opacity": opacity, "size": float(cameras.height), "skipped": float(self.skipped), **figures}

    def _loss(self, views: Views, cameras: Cameras) -> tuple[Tensor, dict[str, float]]:
        # The guidances draw from generators of their own, so that one more of them changes no other's noise.
        loss, figures = self.guidance.loss(views, cameras, self.steps)
        if self.regulariser is None:
            return loss, figures
        extra, told = self.regulariser(self.scene, views, cameras, self.steps)
        if not bool(torch.isfinite(extra)):
            raise NotFinite("regularisers", self.steps, "loss")
        return loss + extra, figures | told

    def _observe(self, cameras: Cameras) -> None:
        """Gather the Gaussians' gradients; before any other render, which would replace `scene.screen`."""
        if self.densifier is not None and self.config.densify.active(self.steps + 1):
            assert isinstance(self.scene, GaussianScene)
            self.densifier.observe(self.scene, cameras.height)

    def _densify(self) -> dict[str, float]:
        """Add and take away Gaussians where it is time for it, and say what was done."""
        if self.densifier is None:
            return {}
        assert isinstance(self.scene, GaussianScene)
        told: dict[str, float] = {}
        if self.config.densify.due(self.steps + 1):
            change = self.densifier.apply(self.scene, self.optimizer, self.generator)
            told = {f"densify.{name}": float(getattr(change, name)) for name in ("cloned", "split", "pruned")}
        return {"gaussians": float(len(self.scene)), **told}

    def _look(self) -> tuple[Cameras, Tensor]:
        cameras = drawn(self.config.viewpoints, self.config.side(self.steps), self.generator)
        return cameras, self._behind(cameras)

    def _behind(self, cameras: Cameras) -> Tensor:
        # One for all views: a guidance that reads them together should not see the place change.
        if self.backdrop is None:
            return background(self.config.background, 1, self.generator)[0]
        colour, share = background("random", 1, self.generator)[0], torch.rand(1, generator=self.generator)
        return colour if float(share) < self.config.background_random else self.backdrop(cameras)

    def _finite_gradients(self) -> bool:
        grads = [one.grad for group in self.optimizer.param_groups for one in group["params"] if one.grad is not None]
        return all(bool(torch.isfinite(grad).all()) for grad in grads)

    def _count(self, culprit: str) -> None:
        self.skipped_in_a_row = self.skipped_in_a_row + 1 if culprit else 0
        self.skipped += bool(culprit)
        if self.skipped_in_a_row >= self.config.patience:
            raise SceneFailure(
                f"{self.skipped_in_a_row} steps in a row were no numbers, the last by {culprit}. The scene is as it "
                "was before them; lower that term's weight or the learning rate"
            )

    def _watch(self, opacity: float) -> None:
        self.full = self.full + 1 if opacity > FULL else 0
        if self.full == self.config.empty_steps:
            logger.warning(
                "step %d: the scene has filled %.0f %% of its pictures for %d steps, so it is a box and no object; "
                "raise optimise.regularisers.sparsity, or lower what makes it dense",
                *(self.steps, 100 * opacity, self.full),
            )
        self.empty = self.empty + 1 if opacity < self.config.empty_opacity else 0
        if self.empty < self.config.empty_steps:
            return
        if self.seeded_anew:
            raise Collapsed(
                f"density collapsed: the scene is empty again (mean opacity {opacity:.1e}), though it was "
                "seeded anew. A field without density has no gradient; lower sparsity, or the guidance that empties it"
            )
        # A collapsed field never recovers by itself: its gradient is 4e-40.
        self.scene = self.make(self.generator)
        self.optimizer, self.densifier = self._optimizer(), self._densifier()
        self.seeded_anew, self.empty = True, 0

    def state(self) -> dict[str, Any]:
        """All that a checkpoint needs."""
        gathered = {} if self.densifier is None else {"densify": self.densifier.state_dict()}
        if self.backdrop is not None:
            gathered["background"] = self.backdrop.state_dict()
        return {
            **gathered,
            "scene": self.scene.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "step": self.steps,
            "guidance": self.guidance.state_dict(),
            "counts": [self.skipped, self.skipped_in_a_row, self.empty, int(self.seeded_anew)],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        # First the scene, which takes on as many Gaussians as the checkpoint has; all the rest is of that number.
        self.scene.load_state_dict(state["scene"])
        self.densifier = self._densifier()
        if self.densifier is not None and (gathered := state.get("densify")) is not None:
            self.densifier.load_state_dict(gathered)
        if self.backdrop is not None:
            self.backdrop.load_state_dict(state["background"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.guidance.load_state_dict(state["guidance"])
        self.generator.set_state(state["generator"])
        self.steps = state["step"]
        self.skipped, self.skipped_in_a_row, self.empty, anew = state["counts"]
        self.seeded_anew = bool(anew)


@contextmanager
def _memory_told(cameras: Cameras, scene: Any) -> Iterator[None]:
    """Memory that ran out becomes a failure whose message helps."""
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and CPU_MEMORY not in str(error):
            raise
        march = getattr(getattr(scene, "config", None), "march", None)
        each = f"{len(scene)} Gaussians" if isinstance(scene, GaussianScene) else "the scene's resolution"
        each = each if march is None else f"{march.samples} samples a ray"
        raise SceneFailure(
            f"no memory left for {len(cameras)} views of {cameras.height} x {cameras.width} with {each}: make "
            "optimise.size or optimise.viewpoints.views smaller, or the scene's resolution, samples or Gaussians; the "
            "last checkpoint is whole"
        ) from error
