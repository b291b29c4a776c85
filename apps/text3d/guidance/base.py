"""The contract of guidances, losses over rendered views, and their weighted sum."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from apps.text3d.cameras import Cameras
from apps.text3d.scenes.base import Views
from common.errors import TouchstoneError, UsageError
from common.schedule import Schedule, constant


class Guidance(Protocol):
    """A loss over views: the lower, the better the views fit the prompt."""

    def loss(
        self, views: Views, cameras: Cameras, step: int, generator: torch.Generator | None = None
    ) -> tuple[Tensor, dict[str, float]]:
        """The loss of a batch of views.

        Args:
            views: of `(B,)` cameras; the loss depends on the scene through them alone.
            cameras: that the views were seen from.
            step: of the run, from 0; schedules read it.
            generator: of whatever is drawn. Without one a guidance draws from its own, never from torch's global one.

        Returns:
            The scalar loss, differentiable with respect to the views, and figures for the log.
        """


@runtime_checkable
class Stateful(Protocol):
    """A guidance with a state of its own, such as a random generator, which a resumed run must get back."""

    def state_dict(self) -> dict[str, Any]:
        """Its state: tensors and plain values."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take a state back."""


class NotFinite(TouchstoneError):
    """A guidance gave a loss or a gradient that is no number, so the step must not be taken.

    Attributes:
        term: name of the guidance.
    """

    def __init__(self, term: str, step: int, what: str) -> None:
        super().__init__(
            f"step {step}: the {what} of the guidance {term!r} is not finite; where it stays so, lower the learning "
            "rate or the weight of this guidance"
        )
        self.term = term


@dataclass(frozen=True)
class Term:
    """One summand.

    Attributes:
        guidance: whose loss it is.
        weight: that the loss is multiplied with; at 0 the guidance is not asked at all.
    """

    guidance: Guidance
    weight: Schedule = field(default_factory=lambda: constant(1.0))


class Weighted:
    """The weighted sum of named guidances, itself a guidance.

    Every guidance is differentiated with respect to the views by itself, before the next one is asked, so that only
    one of their graphs is in memory, and its time and the length of its gradient can be told. The sum then passes the
    added gradients on to the scene. A guidance of weight 0 is not called: it draws nothing, and the run equals the one
    without it to the bit.

    Figures, for a guidance `NAME`: `NAME`, its own loss without the weight; `NAME.weight`; `NAME.gradient`, the norm
    of its weighted gradient with respect to the pictures; `NAME.share`, its part of the time of all guidances,
    backward pass included; and its own figures as `NAME.…`. `seconds` is the time of all.

    Args:
        terms: by name.

    Raises:
        UsageError: there is none.
    """

    def __init__(self, terms: Mapping[str, Term]) -> None:
        if not terms:
            raise UsageError("there is no guidance; give at least one of sds, clip, vlm, analytic and own a weight")
        self.terms = dict(terms)

    def loss(
        self, views: Views, cameras: Cameras, step: int, generator: torch.Generator | None = None
    ) -> tuple[Tensor, dict[str, float]]:
        """See `Guidance.loss`.

        Raises:
            NotFinite: a guidance's loss or gradient is NaN or infinite; names it.
        """
        value = views.rgb.new_zeros(())
        gradients: dict[str, Tensor] = {}
        log: dict[str, float] = {}
        seconds: dict[str, float] = {}
        for name, term in self.terms.items():
            weight = log[f"{name}.weight"] = term.weight(step)
            if weight == 0:
                continue
            began = _now(views.rgb.device)
            loss, found, figures = gradient_of(term.guidance, views, cameras, step, generator)
            log[name] = float(loss)
            if not math.isfinite(log[name]):
                raise NotFinite(name, step, "loss")
            value = value + weight * loss
            for entry, gradient in found.items():
                gradients[entry] = gradients[entry] + weight * gradient if entry in gradients else weight * gradient
            log[f"{name}.gradient"] = abs(weight) * float(found["rgb"].norm()) if "rgb" in found else 0.0
            if not all(bool(gradient.isfinite().all()) for gradient in found.values()):
                raise NotFinite(name, step, "gradient")
            log |= {f"{name}.{figure}": number for figure, number in figures.items()}
            seconds[name] = _now(views.rgb.device) - began
        log["seconds"] = sum(seconds.values())
        log |= {f"{name}.share": each / max(log["seconds"], 1e-12) for name, each in seconds.items()}
        return with_gradient(value, views, gradients), log

    def state_dict(self) -> dict[str, Any]:
        """The states of the guidances that have one, by name."""
        return {
            name: term.guidance.state_dict()
            for name, term in self.terms.items()
            if isinstance(term.guidance, Stateful)
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take the states back.

        Raises:
            UsageError: the state is that of other guidances.
        """
        own = {name: term.guidance for name, term in self.terms.items() if isinstance(term.guidance, Stateful)}
        if own.keys() != state.keys():
            raise UsageError(
                f"the checkpoint holds the guidances {sorted(state)} and this run has {sorted(own)}; resume with the "
                "configuration that the run was started with"
            )
        for name, guidance in own.items():
            guidance.load_state_dict(state[name])


def gradient_of(
    guidance: Guidance, views: Views, cameras: Cameras, step: int, generator: torch.Generator | None = None
) -> tuple[Tensor, dict[str, Tensor], dict[str, float]]:
    """A guidance's loss, detached; its gradient with respect to each field of the views that it reads; its figures.

    Where the views require no gradient there is none. A guidance with a `device` gets the views there, and its loss
    and gradients come back to the views' own: a model may lie on another GPU than the scene.

    Raises:
        UsageError: the views require gradient, and the loss depends on none of them.
    """
    given = {entry.name: getattr(views, entry.name) for entry in fields(views)}
    wanted = [name for name, entry in given.items() if entry.requires_grad and torch.is_grad_enabled()]
    home = views.rgb.device
    place = getattr(guidance, "device", home)
    leaves = {name: entry.detach().to(place).requires_grad_(name in wanted) for name, entry in given.items()}
    loss, figures = guidance.loss(Views(**leaves), cameras, step, generator)
    if not wanted:
        return loss.detach().to(home), {}, figures
    if not loss.requires_grad:
        raise UsageError(f"the loss of {type(guidance).__name__} has no gradient with respect to the views")
    found = torch.autograd.grad(loss, [leaves[name] for name in wanted], allow_unused=True)
    known = {name: gradient.to(home) for name, gradient in zip(wanted, found, strict=True) if gradient is not None}
    if not known:
        raise UsageError(f"the loss of {type(guidance).__name__} has no gradient with respect to the views")
    return loss.detach().to(home), known, figures


def with_gradient(value: Tensor, views: Views, gradients: Mapping[str, Tensor]) -> Tensor:
    """A scalar of this value whose gradient with respect to the views is the given one, exactly."""
    if not gradients:
        return value
    names = list(gradients)
    entries = [getattr(views, name) for name in names]
    count = len(names)
    given: Tensor = _Given.apply(value, count, *entries, *[gradients[name] for name in names])
    return given


class _Given(torch.autograd.Function):
    """A value whose gradient was computed elsewhere."""

    @staticmethod
    def forward(context: Any, value: Tensor, count: int, *entries: Tensor) -> Tensor:
        context.count = count
        context.save_for_backward(*entries[count:])
        return value.clone()

    @staticmethod
    def backward(context: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        scaled = [outer[0] * gradient for gradient in context.saved_tensors]
        return (None, None, *scaled, *[None] * context.count)


def _now(device: torch.device) -> float:
    """Seconds, once the device has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
