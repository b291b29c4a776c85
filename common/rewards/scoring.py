"""The verb `score`: any reward of a config on the rows of a JSONL file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import RewardError, UsageError
from common.files import read_jsonl, write_text
from common.scored_rows import finite, tell, to_line

if TYPE_CHECKING:
    from common.rewards.base import Reward

Row = dict[str, Any]


def run_score(
    file: str,
    rows: str,
    out: str,
    batch: int = 64,
    ray: bool = False,
    workers: int = 2,
    shard: int = 4096,
    address: str = "",
    json_output: bool = False,
) -> int:
    """Score the rows in `rows` and write them to `out` in the same order.

    A row holds a field for each column that the reward needs. It comes back with every field it had, `reward` (null
    where it could not be scored), `parts` and `reason`. A row without a needed field is not scored, and told of. Rows
    of one `group`, where the reward needs that column, are scored together, wherever they stand in the file.

    Args:
        file: YAML file with a `reward:` block.
        rows: JSONL file to read; with `ray` Parquet too.
        out: JSONL file to write; with `ray` a folder, see `common.scale.bulk`.
        batch: rows scored at once.
        ray: score with several processes, and go on where an earlier call was ended.
        workers: processes, with `ray`.
        shard: rows in a file of the folder, with `ray`.
        address: of a Ray cluster, with `ray`; empty starts one on this machine.
        json_output: print a JSON summary instead of a table.

    Raises:
        DataError: a file cannot be read.
        UsageError: the reward cannot be built, or the batch is of no size.
    """
    from common import ui
    from common.rewards.build import read

    if batch < 1:
        raise UsageError(f"--batch {batch}: use 1 or more")
    if ray:
        from common.scale.bulk import score_bulk

        return score_bulk(file, Path(rows), Path(out), batch, workers, shard, json_output, address)
    if Path(rows).suffix == ".parquet":
        raise UsageError(f"{rows}: Parquet is scored with --ray, into a folder")
    reward = read(Path(file))
    given = dict(read_jsonl(rows))
    with ui.progress("scoring", len(given), quiet=json_output) as bar:
        scored = score_all(reward, given, batch, bar.advance)
    write_text(out, "".join(to_line({**row, **scored[number]}) for number, row in given.items()))
    tell(scored, out, json_output, where=f"{rows}:")
    return 0


def score_all(
    reward: Reward, given: Mapping[int, Row], batch: int, advance: Callable[[float], None] = lambda rows: None
) -> dict[int, Row]:
    """What `score_rows` says of each row, by number and in the order given; rows without a needed field too."""
    scored = {number: _unscored(reward, row) for number, row in given.items()}
    ready = [number for number, row in scored.items() if not row]
    for numbers in batches(reward, given, ready, batch):
        try:
            found = score_rows(reward, [given[number] for number in numbers])
        except RewardError as error:
            raise RewardError(f"{_which(reward, given, numbers)}: {error}") from error
        scored |= dict(zip(numbers, found, strict=True))
        advance(len(numbers))
    return scored


def _which(reward: Reward, given: Mapping[int, Row], numbers: Sequence[int]) -> str:
    """The first row that cannot be scored by itself, or all of them where they belong together."""
    if "group" not in reward.needs:
        for number in numbers:
            try:
                score_rows(reward, [given[number]])
            except RewardError:
                return f"row {number}"
    return f"rows {numbers[0]} to {numbers[-1]}"


def _unscored(reward: Reward, row: Row) -> Row:
    """What a row without a needed column comes back with; empty for one that has them all."""
    missing = [column for column in reward.needs if column not in row]
    return {"reward": None, "parts": {}, "reason": f"no field {missing[0]!r}"} if missing else {}


def batches(reward: Reward, rows: Mapping[int, Row], numbers: Sequence[int], size: int) -> Iterator[list[int]]:
    """The numbers in batches of `size`; whole groups, and so larger batches, where the reward needs `group`."""
    if "group" not in reward.needs:
        yield from (list(numbers[at : at + size]) for at in range(0, len(numbers), size))
        return
    groups: dict[str, list[int]] = {}
    for number in numbers:
        groups.setdefault(repr(rows[number]["group"]), []).append(number)
    batch: list[int] = []
    for members in groups.values():
        if batch and len(batch) + len(members) > size:
            yield batch
            batch = []
        batch += members
    if batch:
        yield batch


def score_rows(reward: Reward, rows: Sequence[Row]) -> list[Row]:
    """`reward`, `parts` and `reason` of rows that have every needed field.

    Raises:
        RewardError: a column that the reward refuses.
    """
    try:
        output = reward(**columns_of(reward.needs, rows))
    except (TypeError, AttributeError, ValueError, LookupError, ArithmeticError, RecursionError) as error:
        raise RewardError(
            f"reward {reward.name!r} cannot use a field of these rows: {error!r}. It needs {', '.join(reward.needs)}"
        ) from error
    return [
        {
            "reward": finite(float(value)),
            "parts": {name: finite(float(part[at])) for name, part in output.parts.items()},
            "reason": "; ".join(_told(name, texts[at]) for name, texts in output.info.items() if texts[at]),
        }
        for at, value in enumerate(output.values.tolist())
    ]


def columns_of(needs: Sequence[str], rows: Sequence[Row]) -> dict[str, Any]:
    """Rows as columns: `group` as whole numbers, one for each different entry; `state` as a tensor for each key."""
    import torch

    columns: dict[str, Any] = {name: [row[name] for row in rows] for name in needs}
    if "group" in columns:
        numbers: dict[str, int] = {}
        columns["group"] = torch.tensor([numbers.setdefault(repr(one), len(numbers)) for one in columns["group"]])
    if "state" in columns and rows:
        states = columns["state"]
        try:
            columns["state"] = {key: torch.tensor([one[key] for one in states]) for key in states[0]}
        except RuntimeError as error:  # a whole number of more than 63 bits
            raise ValueError(f"a number in 'state' is too large: {error}") from error
    return columns


def _told(name: str, text: str) -> str:
    name = name.removesuffix("reason").removesuffix(".")
    return f"{name}: {text}" if name else text
