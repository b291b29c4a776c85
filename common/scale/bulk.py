"""Bulk scoring with Ray Data: `python -m common.rewards score FILE.yaml --rows ROWS --out FOLDER --ray`.

The rows are cut into shards. Each is scored by one of the worker processes and written to the folder as
`part-00000.parquet` (or `.jsonl`), with a mark beside it once it is whole. The same command goes on with the shards
that have none; a worker that dies loses no row, because its shard has no mark and is given to another one. On several
machines the folder and the file must be the same for all of them.
"""

from __future__ import annotations

import logging
import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import TouchstoneError, UsageError
from common.files import locate, read_json, write_json
from common.scale import shards
from common.scale.shards import Shard

if TYPE_CHECKING:
    import numpy as np

PLAN = "plan.json"
#: Workers that a shard may take with it before it counts as what kills them.
RETRIES = 3
NAMED = 10


class Scorer:
    """A worker process: scores shards of which the dictionary holds the settings."""

    def __init__(self, file: str, folder: str, batch: int) -> None:
        import torch

        from common.rewards.build import read

        torch.set_num_threads(1)
        self.reward = read(Path(file))
        self.folder = Path(folder)
        self.batch = batch

    def __call__(self, block: dict[str, np.ndarray]) -> dict[str, list[Any]]:
        """Score the shards of a block: how many rows each had, or what was wrong with them and its exit code."""
        columns = {name: values.tolist() for name, values in block.items()}
        found: dict[str, list[Any]] = {"rows": [], "fault": [], "code": []}
        for values in zip(*columns.values(), strict=True):
            rows, fault, code = 0, "", 0
            try:
                rows = score_shard(
                    self.reward, Shard(**dict(zip(columns, values, strict=True))), self.folder, self.batch
                )
            except TouchstoneError as error:
                # As a text, because Ray Data tells a raised error's place and not its message.
                fault, code = str(error), error.exit_code
            for name, value in (("rows", rows), ("fault", fault), ("code", code)):
                found[name].append(value)
        return found


def score_shard(reward: Any, shard: Shard, folder: Path, batch: int) -> int:
    """Score one shard and write it, its mark last; how many rows it had."""
    from common.rewards.scoring import score_all

    given = shards.read(shard)
    scored = score_all(reward, given, batch)
    shards.write(shard, folder, given, scored)
    write_json(folder / shard.mark, _summary(scored))
    return len(given)


def score_bulk(
    file: str,
    rows: Path,
    out: Path,
    batch: int,
    workers: int,
    shard_rows: int,
    json_output: bool = False,
    address: str = "",
) -> int:
    """Score a file with `workers` processes into a folder; what the folder holds already is kept.

    Args:
        file: YAML file with a `reward:` block.
        rows: `.parquet` or `.jsonl`.
        out: folder; new, or of an earlier call for the same file, reward and size of shards.
        batch: rows scored at once.
        workers: processes.
        shard_rows: rows in a shard.
        json_output: print JSON instead of a table.
        address: of a Ray cluster; empty starts one on this machine.

    Raises:
        DataError: a file cannot be read.
        UsageError: the reward cannot be built, or the folder belongs to something else.
        TouchstoneError: a shard could not be scored; what was is kept.
    """
    from common import ui
    from common.rewards.build import read, read_block
    from common.rewards.state import stateful_parts
    from common.scale.serving import digest_of, fingerprint_of

    if workers < 1:
        raise UsageError(f"--workers {workers}: use 1 or more")
    reward = read(Path(file))
    if list(stateful_parts(reward)):
        raise UsageError(
            f"{file}: the reward learns from what it scores; score its rows in one process, without --ray"
        )
    planned = shards.plan(rows, shard_rows, "group" in reward.needs)
    wanted = {
        "rows": str(rows.resolve()),
        "digest": digest_of(rows),
        "fingerprint": fingerprint_of(read_block(file, "reward")),
        "shard": shard_rows,
        "shards": len(planned),
    }
    _open(out, wanted)
    left = [shard for shard in planned if not ((out / shard.mark).is_file() and (out / shard.file).is_file())]
    if len(left) < len(planned) and not json_output:
        ui.say(f"{len(planned) - len(left)} of {len(planned)} shards are scored already")
    with ui.progress("scoring", sum(shard.rows for shard in planned), quiet=json_output) as bar:
        bar(sum(shard.rows for shard in planned) - sum(shard.rows for shard in left))
        if left:
            for done in _run(str(locate(file).resolve()), out.resolve(), left, batch, workers, address):
                bar.advance(done)
    _tell([read_json(out / shard.mark) for shard in planned], out, json_output)
    return 0


def _open(out: Path, wanted: dict[str, Any]) -> None:
    """Write down what the folder is for, or see that it is for that."""
    if (out / PLAN).is_file():
        found = read_json(out / PLAN)
        other = [name for name in wanted if not isinstance(found, dict) or found.get(name) != wanted[name]]
        if other:
            raise UsageError(f"{out} holds scores of another {', '.join(other)}; choose another --out")
        return
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} exists and is no folder of scores; choose another --out")
    write_json(out / PLAN, wanted)


def _run(file: str, out: Path, left: list[Shard], batch: int, workers: int, address: str = "") -> Any:
    """Rows of each shard as it is done."""
    from common.scale.session import on_ray

    workers = min(workers, len(left))
    with on_ray(workers, address):
        import ray

        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        data = ray.data.from_items([asdict(shard) for shard in left], override_num_blocks=len(left)).map_batches(
            Scorer,
            fn_constructor_kwargs={"file": file, "folder": str(out), "batch": batch},
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=workers),
            num_cpus=1,
            max_restarts=-1,
            max_task_retries=RETRIES,
        )
        try:
            for row in data.iter_rows():
                if row["fault"]:
                    kept = f"{row['fault']}. What was scored stays in {out}; the same command goes on with the rest"
                    raise UsageError(kept) if row["code"] == UsageError.exit_code else TouchstoneError(kept)
                yield row["rows"]
        except ray.exceptions.RayError as error:
            first = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise TouchstoneError(
                f"a worker failed: {first}. What was scored stays in {out}; the same command goes on with the rest"
            ) from error


def _summary(scored: dict[int, Any]) -> dict[str, Any]:
    """What a mark tells of its shard: counts, sums and the first rows without a reward."""
    names = list(dict.fromkeys(name for row in scored.values() for name in row["parts"]))
    columns = {"reward": [row["reward"] for row in scored.values()]}
    columns |= {f"parts.{name}": [row["parts"].get(name) for row in scored.values()] for name in names}
    unscored = [(number, row["reason"]) for number, row in scored.items() if row["reward"] is None]
    sums = {}
    for name, values in columns.items():
        known = [value for value in values if value is not None]
        sums[name] = [len(known), math.fsum(known), math.fsum(value * value for value in known)]
    return {"rows": len(scored), "sums": sums, "unscored": unscored[:NAMED]}


def _tell(marks: list[dict[str, Any]], out: Path, json_output: bool) -> None:
    """Print counts, and means with their 95 % intervals (normal: there are many rows)."""
    from common import ui

    total = sum(mark["rows"] for mark in marks)
    names = list(dict.fromkeys(name for mark in marks for name in mark["sums"]))
    means = {name: _mean([mark["sums"][name] for mark in marks if name in mark["sums"]]) for name in names}
    if json_output:
        ui.print_json({"rows": total, "means": means, "out": str(out)})
        return
    for number, reason in [one for mark in marks for one in mark["unscored"]][:NAMED]:
        ui.warn(f"row {number}: {reason}")
    rows = [
        [name, mean["n"], total - mean["n"], f"{mean['mean']:.3f} [{mean['low']:.3f}, {mean['high']:.3f}]"]
        for name, mean in means.items()
        if mean["n"]
    ]
    ui.table(f"{total} rows", ("", "scored", "not scored", "mean, 95 % interval"), rows, caption=f"written to {out}")


def _mean(sums: list[list[float]]) -> dict[str, Any]:
    n, total, squares = (math.fsum(column) for column in zip(*sums, strict=True))
    if not n:
        return {"n": 0, "mean": None, "low": None, "high": None}
    mean = total / n
    error = 1.96 * math.sqrt(max(squares / n - mean * mean, 0.0) / n)
    return {"n": int(n), "mean": mean, "low": mean - error, "high": mean + error}
