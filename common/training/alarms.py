"""What goes wrong while a policy learns from a reward, seen from the log alone.

The monitor reads one row of figures a step and says when a pattern has held for a while. It knows no trainer, so it
can be tried on a synthetic log, and replays an old log when a run is resumed.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

Row = Mapping[str, float]

# A group is flat where its rewards differ by less than this share of the reward's range (the audit's collapse index).
FLAT = 0.05
# Closer to the best reward than this share of the range, a flat group is a solved one.
SOLVED = 0.1


@dataclass(frozen=True)
class Alarm:
    """One alarm: what pattern, since when, in words, and the figures behind it."""

    kind: str
    step: int
    message: str
    values: Mapping[str, float] = field(default_factory=dict)


class AlarmMonitor:
    """Watches the figures of a run; each alarm is raised once, and again only after it had passed.

    Args:
        bounds: the lowest and highest reward.
        gold: name of the held-out metric in the rows, higher is better; None where nothing is measured.
        window: steps that a pattern must hold.
        points: held-out measurements that the proxy-gold trend is taken over.
    """

    def __init__(
        self,
        bounds: tuple[float, float] = (0.0, 1.0),
        gold: str | None = None,
        window: int = 10,
        points: int = 5,
    ) -> None:
        self.low, self.high = bounds
        self.span = max(self.high - self.low, 1e-9)
        self.gold = gold
        self.window = window
        self.recent: deque[Row] = deque(maxlen=window)
        self.start: list[Row] = []
        self.since_measured: list[float] = []
        self.measured: deque[tuple[float, float, float]] = deque(maxlen=points)
        self.active: set[str] = set()

    def update(self, step: int, row: Mapping[str, float | None]) -> list[Alarm]:
        """Take in one step's figures; return the alarms that begin with it."""
        figures = {name: value for name, value in row.items() if isinstance(value, (int, float))}
        self.recent.append(figures)
        if len(self.start) < self.window:
            self.start.append(figures)
        self._measure(step, figures)
        checks: Sequence[Callable[[int, Row], Alarm | None]] = (
            self._not_finite,
            self._flat_positive,
            self._flat,
            self._entropy,
            self._diversity,
            self._truncated,
            self._proxy_gold,
        )
        found = [alarm for check in checks if (alarm := check(step, figures)) is not None]
        begun = [alarm for alarm in found if alarm.kind not in self.active]
        self.active = {alarm.kind for alarm in found}
        return begun

    def _not_finite(self, step: int, row: Row) -> Alarm | None:
        bad = {name: row[name] for name in ("loss", "grad_norm") if name in row and not math.isfinite(row[name])}
        if not bad:
            return None
        return Alarm("not_finite", step, f"{' and '.join(bad)} is not a number: the update destroyed the model")

    def _flat_positive(self, step: int, row: Row) -> Alarm | None:
        same, value = self._mean("groups/same"), self._mean("groups/value")
        if same is None or value is None or same < 0.8 or not self._between(value):
            return None
        message = (
            f"{same:.0%} of the groups score the same {value:.2f} for every completion: the policy has found an "
            "answer that is paid without being right; look at the samples, and lower the learning rate or what it pays"
        )
        return Alarm("flat_positive_reward", step, message, {"groups/same": same, "groups/value": value})

    def _flat(self, step: int, row: Row) -> Alarm | None:
        flat, reward = self._mean("groups/flat"), self._mean("reward")
        if flat is None or reward is None or flat < 0.9 or self._solved(reward):
            return None
        message = (
            f"in {flat:.0%} of the groups all completions score alike (mean reward {reward:.2f}): "
            "nothing is left to learn from; the task is too hard, or the policy has collapsed"
        )
        return Alarm("flat_groups", step, message, {"groups/flat": flat, "reward": reward})

    def _entropy(self, step: int, row: Row) -> Alarm | None:
        now, before, reward = self._mean("entropy"), self._mean("entropy", self.start), self._mean("reward")
        # Without a reward this is supervised learning, whose purpose is to lower the entropy.
        if now is None or before is None or reward is None or now > 0.05 or now > 0.1 * before or self._solved(reward):
            return None
        message = f"entropy fell from {before:.3f} to {now:.3f} nats a token: the policy no longer tries anything new"
        return Alarm("entropy_collapse", step, message, {"entropy": now, "entropy_start": before})

    def _diversity(self, step: int, row: Row) -> Alarm | None:
        name = "completions/distinct"
        now, before, reward = self._mean(name), self._mean(name, self.start), self._mean("reward")
        if now is None or before is None or reward is None or now > 0.25 * before or self._solved(reward):
            return None
        message = f"different completions fell from {before:.0%} to {now:.0%}: unlike prompts get the same answer"
        return Alarm("low_diversity", step, message, {"distinct": now, "distinct_start": before})

    def _truncated(self, step: int, row: Row) -> Alarm | None:
        clipped = self._mean("completions/clipped_ratio")
        if clipped is None or clipped <= 0.5:
            return None
        message = f"{clipped:.0%} of the completions were cut at max_completion_length before they ended"
        return Alarm("truncated", step, message, {"completions/clipped_ratio": clipped})

    def _proxy_gold(self, step: int, row: Row) -> Alarm | None:
        if len(self.measured) < 4:
            return None
        steps, proxy, gold = zip(*self.measured, strict=True)
        proxy_change, proxy_t = trend(steps, proxy)
        gold_change, gold_t = trend(steps, gold)
        if not (proxy_change > 0.02 * self.span and proxy_t > 2 and gold_change < -0.02 and gold_t < -2):
            return None
        message = (
            f"over steps {steps[0]:.0f} to {steps[-1]:.0f} the reward rose by {proxy_change:.3f} while {self.gold} "
            f"fell by {-gold_change:.3f}: the policy games the reward (Gao et al., arXiv 2210.10760)"
        )
        return Alarm("proxy_gold", step, message, {"reward_change": proxy_change, "gold_change": gold_change})

    def _measure(self, step: int, row: Row) -> None:
        if "reward" in row:
            self.since_measured.append(row["reward"])
        if self.gold is not None and self.gold in row and self.since_measured:
            self.measured.append((float(step), sum(self.since_measured) / len(self.since_measured), row[self.gold]))
            self.since_measured = []

    def _mean(self, name: str, rows: Sequence[Row] | deque[Row] | None = None) -> float | None:
        """Mean over the window; None before it is full, or where the figure is missing from it."""
        rows = self.recent if rows is None else rows
        values = [row[name] for row in rows if name in row and math.isfinite(row[name])]
        if len(rows) < self.window or len(values) < max(1, self.window // 2):
            return None
        return sum(values) / len(values)

    def _between(self, value: float) -> bool:
        return value > self.low + 0.02 * self.span and not self._solved(value)

    def _solved(self, value: float) -> bool:
        return value >= self.high - SOLVED * self.span


def trend(steps: Sequence[float], values: Sequence[float]) -> tuple[float, float]:
    """Change along the least-squares line from the first step to the last, and the t statistic of its slope."""
    n = len(steps)
    mean_x, mean_y = sum(steps) / n, sum(values) / n
    spread = sum((x - mean_x) ** 2 for x in steps)
    if n < 3 or spread == 0:
        return 0.0, 0.0
    slope = sum((x - mean_x) * (y - mean_y) for x, y in zip(steps, values, strict=True)) / spread
    residual = sum((y - mean_y - slope * (x - mean_x)) ** 2 for x, y in zip(steps, values, strict=True))
    error = math.sqrt(residual / (n - 2) / spread)
    change = slope * (steps[-1] - steps[0])
    if error <= 1e-12:
        return change, math.copysign(math.inf, slope) if slope else 0.0
    return change, slope / error


def group_figures(rewards: Sequence[float], size: int, bounds: tuple[float, float]) -> dict[str, float]:
    """How alike the rewards inside groups are.

    Args:
        rewards: one number a completion, groups side by side; NaN where it could not be scored.
        size: completions in a group.
        bounds: the lowest and highest reward.

    Returns:
        `groups/flat`: share of groups whose rewards lie within 5 % of the range; `groups/value`: the commonest value
        of those; `groups/same`: share of all groups that are flat at that value. Empty where no group was scored.
    """
    tolerance = FLAT * (bounds[1] - bounds[0])
    groups = []
    for start in range(0, len(rewards) - size + 1, size):
        scored = [value for value in rewards[start : start + size] if math.isfinite(value)]
        if len(scored) > 1:
            groups.append(scored)
    if not groups:
        return {}
    flat = sorted(sum(group) / len(group) for group in groups if max(group) - min(group) <= tolerance)
    if not flat:
        return {"groups/flat": 0.0, "groups/same": 0.0}
    near = {value: sum(abs(value - other) <= tolerance for other in flat) for value in flat}
    value = max(near, key=lambda candidate: near[candidate])
    return {"groups/flat": len(flat) / len(groups), "groups/same": near[value] / len(groups), "groups/value": value}
