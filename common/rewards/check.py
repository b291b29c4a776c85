"""`check_reward`: what an environment checker is to an environment. Every trainer calls it before its first step."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from common.errors import MissingColumn, RewardError
from common.rewards.base import Reward, RewardOutput, row_count, take_rows
from common.rewards.compose import Composite

#: Rows scored one at a time: a dear reward is asked no more often than needed to see a difference.
SINGLES = 3
#: Completions that are the policy's fault whatever the task.
BROKEN = ("", " \n\t", "\x00\ufffd ]]) <answer", "?" * 2000)


def check_reward(reward: Reward, batch: Mapping[str, Any]) -> None:
    """Try a reward on a small real batch and explain what is wrong with it.

    Looked at: type, name, bounds; shapes and ranges of values, parts and info; that nothing in the batch is changed;
    determinism; that a row's score depends on neither the other rows, their order nor their number (unless it `needs`
    a `group`); missing and short columns; broken completions, which are the policy's fault and must score, not fail;
    pickling; the gradient where one is declared.

    Args:
        reward: the reward to check.
        batch: columns of a handful of rows, as the trainer will pass them; two or more rows that can be scored.

    Raises:
        RewardError: the first thing found wrong, what was expected, and what to do about it.
    """
    _check_declaration(reward)
    size = _check_batch(reward, batch)
    before = _frozen(batch)
    output = _call(reward, batch, "the batch")
    _check_output(reward, output, size, "the batch")
    _check_scored(reward, output)
    if _frozen(batch) != before:
        raise _problem(reward, "it changes the columns it is given", "copy a column before changing it")
    again = _call(reward, batch, "the same batch again")
    _check_same(reward, output.values, again.values, "the same batch scored twice", "fix its seeds or its temperature")
    if "group" not in reward.needs:
        _check_rows(reward, batch, output, size)
    _check_callers_faults(reward, batch, size)
    _check_policy_faults(reward, batch, output, size)
    _check_pickling(reward, batch, output)
    if reward.differentiable:
        _check_gradient(reward, batch)


def _check_declaration(reward: object) -> None:
    if isinstance(reward, nn.Module):
        raise RewardError(
            f"{type(reward).__name__} is an nn.Module; trl would take it for a sequence classifier. Make the reward a "
            "plain "
            "object that holds the module"
        )
    if not isinstance(reward, Reward):
        raise RewardError(f"{type(reward).__name__} is not a common.rewards.Reward; subclass it and write `score`")
    if not isinstance(getattr(reward, "name", None), str) or not reward.name:
        raise RewardError(f"{type(reward).__name__} has no name; logs and parts are called after it")
    if isinstance(reward.needs, str) or not all(isinstance(column, str) for column in reward.needs):
        raise _problem(reward, f"needs is {reward.needs!r}", "list the columns' names in a tuple")
    low, high = reward.bounds
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise _problem(
            reward, f"bounds are {reward.bounds}", "give the least and the greatest value, finite and different"
        )


def _check_batch(reward: Reward, batch: Mapping[str, Any]) -> int:
    size = reward.batch_size(batch)
    if size < 2:
        raise RewardError(f"a check needs two rows or more; it was given {size}")
    return size


def _call(reward: Reward, batch: Mapping[str, Any], what: str) -> RewardOutput:
    try:
        output = reward(**batch)
    except RewardError:
        raise
    except Exception as error:
        raise _problem(
            reward,
            f"on {what} it raised {type(error).__name__}: {error}",
            "a grader that fails must give NaN for the row and say so in `info`; only the caller's faults raise",
        ) from error
    if not isinstance(output, RewardOutput):
        raise _problem(reward, f"it returned a {type(output).__name__}", "return a RewardOutput")
    return output


def _check_output(reward: Reward, output: RewardOutput, size: int, what: str) -> None:
    if output.values.shape != (size,):
        raise _problem(reward, f"values have shape {tuple(output.values.shape)} on {what}", f"return ({size},)")
    _check_bounds(reward.name, reward.bounds, output.values, what)
    for name, texts in output.info.items():
        wrong = [row for row, text in enumerate(texts) if not isinstance(text, str)]
        if len(texts) != size or wrong:
            raise _problem(
                reward, f"info {name!r} does not hold one text a row", "use an empty text where there is none"
            )
    if isinstance(reward, Composite):
        for name, child in reward.children.items():
            if name in output.parts:
                _check_bounds(f"{reward.name}.{name}", child.bounds, output.parts[name], what)


def _check_bounds(name: str, bounds: tuple[float, float], values: Tensor, what: str) -> None:
    low, high = bounds
    slack = 1e-5 * max(1.0, abs(low), abs(high))
    for row, value in enumerate(values.tolist()):
        if math.isinf(value) or value < low - slack or value > high + slack:
            raise RewardError(
                f"reward {name!r}: row {row} of {what} scores {value:g}, outside its bounds {bounds}. Correct "
                "`bounds`, or "
                "clip; a value that is not a number at all is NaN"
            )


def _check_scored(reward: Reward, output: RewardOutput) -> None:
    if output.values.isnan().all():
        reason = next((text for texts in output.info.values() for text in texts if text), "no reason given in `info`")
        raise _problem(
            reward,
            f"not one row of the batch could be scored ({reason})",
            "see whether the grader and its data are there",
        )


def _check_rows(reward: Reward, batch: Mapping[str, Any], output: RewardOutput, size: int) -> None:
    order = [*range(1, size), 0]
    turned = _call(reward, take_rows(batch, order, size), "the rows in another order")
    _check_same(
        reward, output.values[order], turned.values, "the rows in another order", "score each row by itself", order
    )
    half = list(range(size // 2))
    part = _call(reward, take_rows(batch, half, size), "half of the rows")
    _check_same(reward, output.values[half], part.values, "half of the rows", "score each row by itself", half)
    for row in sorted({0, size // 2, size - 1})[:SINGLES]:
        alone = _call(reward, take_rows(batch, [row], size), f"row {row} alone")
        _check_same(reward, output.values[[row]], alone.values, f"row {row} alone", "score each row by itself", [row])
        if set(alone.parts) != set(output.parts):
            raise _problem(
                reward,
                f"parts are {sorted(output.parts)} for the batch and {sorted(alone.parts)} for row {row} alone",
                "return the same parts for every batch, NaN where there is nothing to say",
            )


def _check_same(
    reward: Reward, left: Tensor, right: Tensor, what: str, advice: str, rows: Sequence[int] | None = None
) -> None:
    if left.shape != right.shape:
        raise _problem(reward, f"{what}: {left.numel()} rows became {right.numel()}", advice)
    # Batches of another shape round differently inside an encoder.
    slack = 1e-4 * (reward.bounds[1] - reward.bounds[0])
    for at, (one, two) in enumerate(zip(left.tolist(), right.tolist(), strict=True)):
        same = (math.isnan(one) and math.isnan(two)) or abs(one - two) <= slack
        if not same:
            row = at if rows is None else rows[at]
            raise _problem(reward, f"{what}: row {row} scores {one:g} and then {two:g}", advice)


def _check_callers_faults(reward: Reward, batch: Mapping[str, Any], size: int) -> None:
    per_row = [column for column in reward.needs if row_count(batch[column]) == size]
    for column in reward.needs:
        without = {name: value for name, value in batch.items() if name != column}
        if not _raises(reward, without, MissingColumn):
            raise _problem(
                reward, f"it does not miss its column {column!r}", "call Reward.__call__, which checks `needs`"
            )
    if len(per_row) > 1:
        short = {**batch, per_row[0]: take_rows({"it": batch[per_row[0]]}, range(size - 1), size)["it"]}
        if not _raises(reward, short, RewardError):
            raise _problem(reward, f"it accepts {size - 1} of {size} rows in {per_row[0]!r}", "raise RewardError")


def _raises(reward: Reward, batch: Mapping[str, Any], error: type[RewardError]) -> bool:
    try:
        reward(**batch)
    except error:
        return True
    return False


def _check_policy_faults(reward: Reward, batch: Mapping[str, Any], output: RewardOutput, size: int) -> None:
    completions = batch.get("completion")
    if "completion" not in reward.needs or not all(isinstance(text, str) for text in completions or [None]):
        return
    broken = {**batch, "completion": [BROKEN[row % len(BROKEN)] for row in range(size)]}
    what = "broken completions"
    scored = _call(reward, broken, what)
    _check_output(reward, scored, size, what)
    if set(scored.parts) != set(output.parts):
        raise _problem(
            reward, f"{what} change the parts to {sorted(scored.parts)}", "return the same parts for every batch"
        )
    for row, (usual, value) in enumerate(zip(output.values.tolist(), scored.values.tolist(), strict=True)):
        if math.isnan(value) and not math.isnan(usual):
            raise _problem(
                reward,
                f"row {row} scores {usual:g}, but NaN with the broken completion {broken['completion'][row][:20]!r}",
                "NaN is for the grader's failures; the policy's fault scores the lower bound, with a reason",
            )


def _check_pickling(reward: Reward, batch: Mapping[str, Any], output: RewardOutput) -> None:
    try:
        twin = pickle.loads(pickle.dumps(reward))
    except (pickle.PicklingError, TypeError, AttributeError, RecursionError) as error:
        raise _problem(
            reward,
            f"it does not pickle: {error}",
            "leave out models, files and locks in __getstate__ and open them lazily",
        ) from error
    values = _call(twin, batch, "the batch, after pickling").values
    _check_same(reward, output.values, values, "after pickling", "keep everything that decides a score in its state")


def _check_gradient(reward: Reward, batch: Mapping[str, Any]) -> None:
    leaves = {
        column: batch[column].detach().clone().requires_grad_()
        for column in reward.needs
        if isinstance(batch[column], Tensor) and batch[column].is_floating_point()
    }
    if not leaves:
        raise _problem(
            reward, "it is declared differentiable but needs no column of floats", "set differentiable = False"
        )
    values = _call(reward, {**batch, **leaves}, "a batch with gradient").values
    if not values.requires_grad:
        raise _problem(
            reward, "no gradient reaches its values", "keep to torch from the column to the value, without no_grad"
        )
    values.nansum().backward()
    if all(leaf.grad is None or not leaf.grad.any() for leaf in leaves.values()):
        raise _problem(reward, "the gradient is 0 everywhere", "look for a clip, a rounding or a detach on the way")
    if not all(leaf.grad is None or torch.isfinite(leaf.grad).all() for leaf in leaves.values()):
        raise _problem(
            reward, "the gradient is not finite", "look for a root or logarithm of 0, or a NaN that torch.where hides"
        )


def _frozen(batch: Mapping[str, Any]) -> list[object]:
    """The batch's contents in a form that can be compared."""
    return [_plain(copy.copy(value)) for value in batch.values()]


def _plain(value: Any) -> object:
    if isinstance(value, Tensor):
        return value.tolist()
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else id(value)


def _problem(reward: Reward, found: str, advice: str) -> RewardError:
    return RewardError(f"reward {reward.name!r}: {found}. {advice[0].upper()}{advice[1:]}")
