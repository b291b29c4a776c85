"""Checkpoints of a policy that learns: a folder of safetensors, JSON and npz, written whole or not at all.

A replay buffer is written out with each of them (2.8 GB for 100,000 steps of large masks), so do not save too often.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.files import write_json
from common.training.plain_state import load_state, save_state
from common.training.run import CHECKPOINT, COMPLETE, Run
from common.training.sb3.replay import FrameReplayBuffer
from common.training.sb3.replay_files import load_buffer, save_buffer
from common.training.sb3.state import put_back, take

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm

REPLAY = "replay.npz"
KEPT = 2


def write_checkpoint(run: Run, stage: str, model: BaseAlgorithm, callbacks: Sequence[Any]) -> Path:
    """Write a checkpoint's folder, whole or not at all, then remove all but the two newest.

    Raises:
        OSError: it could not be written; the earlier ones are still there.
    """
    parent = run.stage(stage)
    parent.mkdir(parents=True, exist_ok=True)
    for left in parent.glob(".unfinished-*"):
        shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(dir=parent, prefix=".unfinished-"))
    folder.chmod(0o755)
    try:
        save_state(folder, take(model, callbacks))
        buffer = getattr(model, "replay_buffer", None)
        if isinstance(buffer, FrameReplayBuffer):
            save_buffer(buffer, folder / REPLAY)
        write_json(folder / COMPLETE, {"stage": stage, "step": model.num_timesteps})
        final = parent / f"{CHECKPOINT}{model.num_timesteps:09d}"
        remove_checkpoint(final)
        os.replace(folder, final)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    whole = sorted(path.parent for path in parent.glob(f"{CHECKPOINT}*/{COMPLETE}"))
    for old in whole[:-KEPT]:
        remove_checkpoint(old)
    return final


def remove_checkpoint(folder: Path) -> None:
    """Remove a checkpoint, the mark first: half a one must not be taken for a whole one."""
    (folder / COMPLETE).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def read_checkpoint(folder: Path, model: BaseAlgorithm, callbacks: Sequence[Any]) -> None:
    """Put a checkpoint back into an algorithm that was built and set up in the same way.

    Raises:
        DataError: it is damaged or of another run.
    """
    put_back(model, callbacks, load_state(folder))
    buffer = getattr(model, "replay_buffer", None)
    if isinstance(buffer, FrameReplayBuffer):
        load_buffer(buffer, folder / REPLAY)
