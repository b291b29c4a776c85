"""Hands a reward to trl's GRPO and RLOO trainers; nothing of trl is imported, only its calling convention followed.

**A failed grader is never scored as the policy's fault.** trl (read at 1.16.0,
`GRPOTrainer._generate_and_score_completions`) turns None into NaN and treats it as follows.

- `sum_then_normalize`: the row's reward is the `nansum` of its components, so one missing component counts as 0, often
  the worst score. Only a row whose components are *all* None is left out: it enters neither the mean nor the deviation
  of its group, and its advantage is 0. Therefore a row with any missing component is returned as None for every
  component. (Renormalising the row over the rest would not do here: a wrong answer whose judge was down would rank
  below equally wrong siblings that the judge saw.)
- `normalize_then_sum` (GDPO): each component is centred on its group over the rows that have it, and a missing one
  adds 0: neutral. So only the missing component is None there, unless nothing that carries weight is left.

Components of weight 0 are logged, and follow their row; they never make it missing. ±inf is the grader's fault too,
and treated as NaN: trl would log it and silently give the whole group no advantage.
"""

from __future__ import annotations

import logging
import math
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from common.errors import GraderFailure, RewardError
from common.rewards.base import Reward, RewardOutput
from common.rewards.compose import WeightedSum

logger = logging.getLogger(__name__)

Aggregation = Literal["sum_then_normalize", "normalize_then_sum"]

#: The run stops where more than this share of the rows of so many calls could not be scored.
FAILED_SHARE = 0.2
FAILED_CALLS = 5
#: What trl passes beside the data set's columns.
_HELPERS = ("prompts", "completions", "log_extra", "log_metric", "trainer_state", "environments")


def to_trl(
    reward: Reward, aggregation: Aggregation = "sum_then_normalize"
) -> tuple[list[Callable[..., list[float | None]]], list[float]]:
    """`reward_funcs` and `reward_weights` for trl.

    A top-level `WeightedSum` becomes one function and one weight for each of its parts, so that trl logs, and in GDPO
    normalises, them apart; any other reward becomes a single function of weight 1. Where every part was scored, trl's
    sum of weighted functions equals the reward's own values. The functions pickle, have distinct `__name__`s, and
    together score a batch once, whichever trl calls first.

    Args:
        reward: any reward that is no `nn.Module`.
        aggregation: trl's `multi_objective_aggregation`; it decides what a missing component does to its row.

    Raises:
        RewardError: not a plain `Reward`, or an unknown aggregation.
    """
    if isinstance(reward, nn.Module) or not isinstance(reward, Reward):
        raise RewardError(f"to_trl takes a plain Reward, not a {type(reward).__name__}")
    if aggregation not in ("sum_then_normalize", "normalize_then_sum"):
        raise RewardError(f"unknown aggregation {aggregation!r}: sum_then_normalize or normalize_then_sum")
    scorer = Scorer(reward, whole_rows=aggregation == "sum_then_normalize")
    return [Component(scorer, name) for name in scorer.weights], list(scorer.weights.values())


class Component:
    """One entry of trl's `reward_funcs`."""

    def __init__(self, scorer: Scorer, name: str) -> None:
        self.scorer = scorer
        self.__name__ = name

    def __call__(
        self,
        prompts: Sequence[Any],
        completions: Sequence[Any],
        log_extra: Callable[[str, list[Any]], None] | None = None,
        log_metric: Callable[[str, float], None] | None = None,
        **columns: Any,
    ) -> list[float | None]:
        """Score as trl asks: one number a completion, None where it could not be scored.

        Raises:
            RewardError: the caller's fault; see `Reward.__call__`.
            GraderFailure: too many rows could not be scored for too long.
        """
        output = self.scorer.component(self.__name__, prompts, completions, columns)
        if log_metric is not None:
            for name, value in self.scorer.metrics(self.__name__, output).items():
                log_metric(name, value)
        if log_extra is not None:
            for key, texts in self.scorer.texts(self.__name__, output).items():
                log_extra(key, texts)
        return [None if math.isnan(value) else value for value in output.values.tolist()]


class Scorer:
    """What the functions of one reward share: the scores of the batch at hand, and the count of failures."""

    def __init__(self, reward: Reward, whole_rows: bool) -> None:
        self.reward = reward
        self.whole_rows = whole_rows
        self.parts = dict(reward.children) if isinstance(reward, WeightedSum) else {reward.name: reward}
        self.weights = dict(reward.weights) if isinstance(reward, WeightedSum) else {reward.name: 1.0}
        self.failures: deque[Failures] = deque(maxlen=FAILED_CALLS)
        self.info_keys: dict[str, tuple[str, ...]] = {}
        self.part_names: dict[str, tuple[str, ...]] = {}
        self._batch: tuple[Any, ...] | None = None
        self._outputs: dict[str, RewardOutput] = {}
        self._served: set[str] = set()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_batch": None, "_outputs": {}, "_served": set()}

    def component(
        self, name: str, prompts: Sequence[Any], completions: Sequence[Any], columns: Mapping[str, Any]
    ) -> RewardOutput:
        """One component's output for the batch; all components are scored at the first call for it.

        trl passes the very same objects to each function. They are kept until every function was served, so that an
        address cannot be given out again meanwhile; a second call for the same component means a new batch.
        """
        batch = (prompts, completions, *(columns.get(column) for column in self.reward.needs))
        same = self._batch is not None and all(a is b for a, b in zip(batch, self._batch, strict=True))
        if not same or name in self._served:
            self._batch = None
            self._outputs = self._score(prompts, completions, columns)
            self._batch, self._served = batch, set()
        self._served.add(name)
        output = self._outputs[name]
        if self._served == set(self.weights):
            self._batch, self._outputs, self._served = None, {}, set()
        return output

    def _score(
        self, prompts: Sequence[Any], completions: Sequence[Any], columns: Mapping[str, Any]
    ) -> dict[str, RewardOutput]:
        if len(prompts) != len(completions):
            raise RewardError(f"{len(prompts)} prompts came with {len(completions)} completions")
        given = {name: value for name, value in columns.items() if name not in _HELPERS}
        given |= {"prompt": list(prompts), "completion": [text_of(completion) for completion in completions]}
        state = columns.get("trainer_state")
        if state is not None:
            given.setdefault("step", int(state.global_step))
        if "group" in self.reward.needs and "group" not in given:
            given["group"] = groups_of(prompts)
        size = self.reward.batch_size(given)
        if size != len(completions):
            raise RewardError(f"reward {self.reward.name!r}: {size} rows for {len(completions)} completions")
        outputs = {name: part(**given) for name, part in self.parts.items()}
        outputs = {name: _finite(output) for name, output in outputs.items()}
        missing = {name: output.values.isnan() for name, output in outputs.items() if self.weights[name] != 0}
        self._count(outputs, missing, size)
        if not missing:
            return outputs
        stacked = torch.stack(list(missing.values()))
        lost = stacked.any(0) if self.whole_rows else stacked.all(0)
        return {name: _without(output, lost) for name, output in outputs.items()}

    def _count(self, outputs: Mapping[str, RewardOutput], missing: Mapping[str, Tensor], size: int) -> None:
        failed = {name: rows.nonzero().flatten().tolist() for name, rows in missing.items()}
        rows = {row for several in failed.values() for row in several}
        reason = next((reason_of(outputs[name], some) for name, some in failed.items() if some), "")
        self.failures.append(
            Failures(size, len(rows), Counter({name: len(some) for name, some in failed.items()}), reason)
        )
        total, lost = sum(one.rows for one in self.failures), sum(one.failed for one in self.failures)
        if len(self.failures) < FAILED_CALLS or lost <= FAILED_SHARE * total:
            return
        by_name: Counter[str] = sum((one.by_name for one in self.failures), Counter())
        names = ", ".join(f"{name} {count}" for name, count in by_name.most_common())
        last = next((one.reason for one in reversed(self.failures) if one.reason), "none given")
        # A run that is resumed once the grader works again starts a new count.
        self.failures.clear()
        raise GraderFailure(
            f"reward {self.reward.name!r} could not score {lost} of {total} rows ({lost / total:.0%}) over the last "
            f"{FAILED_CALLS} steps; by part: {names}. Last reason: {last}. The grader or its data is at fault, not "
            "the model: "
            "repair it and resume the run"
        )

    def metrics(self, name: str, output: RewardOutput) -> dict[str, float]:
        """A component's figures, under the same names for every batch: trl gathers them in step across processes."""
        known = self.part_names.setdefault(name, tuple(output.parts))
        if set(known) != set(output.parts):
            raise RewardError(
                f"reward {name!r}: parts were {sorted(known)} and are now {sorted(output.parts)}; they must stay the "
                "same"
            )
        rows = max(1, output.values.numel())
        figures = {f"reward/{name}/failed": float(output.values.isnan().sum()) / rows}
        return figures | {f"reward/{name}/{part}": float(output.parts[part].float().nanmean()) for part in known}

    def texts(self, name: str, output: RewardOutput) -> dict[str, list[str]]:
        """A component's texts, in the columns of its first batch: trl's table breaks where one comes in later."""
        known = self.info_keys.setdefault(name, tuple(output.info))
        new = sorted(set(output.info) - set(known))
        if new:
            logger.debug("reward %r: info %s came after the first batch and is not logged", name, new)
        empty = [""] * output.values.numel()
        return {f"{name}/{key}": list(output.info.get(key, empty)) for key in known}


@dataclass(frozen=True)
class Failures:
    """How many rows of one call could not be scored, by component, with one reason."""

    rows: int
    failed: int
    by_name: Counter[str]
    reason: str


def text_of(completion: Any) -> str:
    """The text of a completion: itself, or the content of its last assistant message.

    Raises:
        RewardError: neither a text nor a list of messages.
    """
    if isinstance(completion, str):
        return completion
    if not isinstance(completion, Sequence) or not all(isinstance(message, Mapping) for message in completion):
        raise RewardError(f"a completion must be a text or a list of messages, not {type(completion).__name__}")
    said = [message for message in completion if message.get("role", "assistant") == "assistant"]
    content = said[-1].get("content") if said else None
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    return "".join(block.get("text", "") for block in content if block.get("type", "text") == "text")


def groups_of(prompts: Sequence[Any]) -> Tensor:
    """`(B,)` group numbers: a run of equal prompts is a group, as trl repeats them.

    Raises:
        RewardError: the groups differ in size, so one is split across processes.
    """
    numbers: list[int] = []
    for row, prompt in enumerate(prompts):
        new = row == 0 or prompt != prompts[row - 1]
        numbers.append((numbers[-1] if numbers else -1) + new)
    sizes = set(Counter(numbers).values())
    if len(sizes) > 1:
        raise RewardError(
            f"groups of {sorted(sizes)} completions in one batch: a group is split across processes. Choose "
            "per_device_train_batch_size as a multiple of num_generations; where neighbouring rows ask the same, give "
            "them a column `group`"
        )
    return torch.tensor(numbers, dtype=torch.long)


def _finite(output: RewardOutput) -> RewardOutput:
    # On the CPU: of the components one may come from a GPU's model and another from a rule.
    values = output.values.detach().cpu()
    return RewardOutput(torch.where(values.isfinite(), values, math.nan), output.parts, output.info)


def _without(output: RewardOutput, lost: Tensor) -> RewardOutput:
    return RewardOutput(torch.where(lost, math.nan, output.values), output.parts, output.info)


def reason_of(output: RewardOutput, rows: Sequence[int]) -> str:
    """The first text that says why one of these rows failed."""
    keys = [key for key in output.info if key.rsplit(".", 1)[-1] in ("error", "reason") or key.endswith("_error")]
    return next((output.info[key][row] for row in rows for key in keys if output.info[key][row]), "")
