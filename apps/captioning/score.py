"""The `score` verb: the configured reward and its parts for every picture and caption in a JSONL file."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import DataError, UsageError
from common.files import locate, read_jsonl, write_text
from common.scored_rows import finite, tell, to_line

if TYPE_CHECKING:
    from torch import Tensor

    from apps.captioning.config import CaptioningConfig
    from common.models.clip import Clip
    from common.rewards.base import Reward

Row = dict[str, Any]

#: Pictures whose features are kept: rows of one picture usually stand near each other.
KEPT = 20_000


def run_score(config: CaptioningConfig, pairs: str, out: str, json_output: bool = False) -> int:
    """Score the pairs in `pairs` with the configured reward and write them to `out` in the same order.

    A row holds `image` (a path, absolute or relative to the file's folder), `caption` and, where the reward compares
    with them, `references` (a list of texts). It comes back with every field it had and `reward`, `parts` (each
    reward's own value and its parts) and `reason`. An empty caption scores the reward's lower bound; a row that cannot
    be used, a picture that cannot be read and a grader that fails give `reward: null` and the reason.

    Args:
        config: reward, CLIP and corpus.
        pairs: JSONL file to read.
        out: JSONL file to write; written whole or not at all.
        json_output: print a JSON summary instead of a table.

    Raises:
        DataError: no such file, or a line that is no JSON object; named with its line.
        UsageError: a model or the corpus cannot be loaded, or `out` is a folder.
    """
    from common import ui

    if Path(out).is_dir():
        raise UsageError(f"--out {out} is a folder; name a file")
    path = Path(pairs)
    rows = dict(read_jsonl(path))
    problems = {number: problem for number, row in rows.items() if (problem := _problem(row))}
    usable = [number for number in rows if number not in problems]
    scored: dict[int, Row] = {}
    if usable:
        from common.training.run import set_threads

        set_threads(config.threads)
        reward, clip = configured_reward(config, json_output)
        pictures = _Pictures(clip, path.parent)
        with ui.progress("scoring", len(usable), json_output) as bar:
            for start in range(0, len(usable), config.clip.batch_size):
                numbers = usable[start : start + config.clip.batch_size]
                scored |= _score(reward, pictures, {number: rows[number] for number in numbers})
                bar(start + len(numbers))
    for number, problem in problems.items():
        scored[number] = {"reward": None, "parts": {}, "reason": problem}
    lines = [{**row, **scored[number]} for number, row in rows.items()]
    write_text(out, "".join(map(to_line, lines)))
    tell({number: scored[number] for number in rows}, out, json_output)
    return 0


def configured_reward(config: CaptioningConfig, quiet: bool = False) -> tuple[Reward, Clip]:
    """The reward that a config pays for, as one weighted sum, and the CLIP that it looks through.

    Captions are judged here and not trained on, so rewards that compare with references need no `reward.paired`.
    CIDEr-D weighs words by the captions of `train`, as in training.

    Raises:
        UsageError: a model or the corpus cannot be loaded.
    """
    from apps.captioning.data import load_corpus, load_examples
    from apps.captioning.features import corpus_features, open_clip_model
    from apps.captioning.rewards import build_rewards
    from common.rewards.compose import WeightedSum

    paid, clip = config.reward, open_clip_model(config.clip)
    sentences = load_corpus(config.corpus) if {"clip_agg", "grammar"} & set(paid.weights) else []
    corpus = corpus_features(clip, sentences, config.clip.cache, quiet) if "clip_agg" in paid.weights else None
    judge = naturalness_snapshot(config) if "naturalness" in paid.weights else None
    references = [example.captions for example in load_examples(config.train)] if "cider" in paid.weights else None
    rewards = build_rewards(replace(paid, paired=True), clip, corpus, judge, references, sentences)
    return WeightedSum(rewards, "caption"), clip


def naturalness_snapshot(config: CaptioningConfig) -> Reward | None:
    """The discriminator in `discriminator.path` as a frozen reward; None where no trained one lies there.

    A hub id gives None: a language model from the hub has no head that has learnt to judge.
    """
    from apps.captioning.model import torch_device
    from common.rewards.trained.discriminator import Discriminator

    folder = locate(config.discriminator.path)
    if not (folder / "config.json").is_file():
        return None
    return Discriminator(folder, device=str(torch_device(config.clip.device)), name="naturalness")


class _Pictures:
    """Features of pictures by their path in the file; each is read once while it is kept."""

    def __init__(self, clip: Clip, folder: Path) -> None:
        self.clip, self.folder = clip, folder
        self.known: OrderedDict[str, Tensor | str] = OrderedDict()

    def __call__(self, names: Sequence[str]) -> list[Tensor | str]:
        """The feature `(D,)` of each, or why it has none."""
        from common.pictures import load_picture, why

        prepared = {}
        for name in dict.fromkeys(names):
            if name in self.known:
                self.known.move_to_end(name)
                continue
            try:
                # An absolute name replaces the folder. Photographs are large: each is shrunk before the next is read.
                prepared[name] = self.clip.prepare([load_picture(self.folder / name, self.clip.background)])
            except DataError as error:
                self.known[name] = f"the picture cannot be read: {why(error)}"
        self.known |= self._encode(prepared)
        found = [self.known[name] for name in names]
        for name in prepared:
            if isinstance(self.known[name], str):  # CLIP failed, and may not do so again
                del self.known[name]
        while len(self.known) > KEPT:
            self.known.popitem(last=False)
        return found

    def _encode(self, prepared: Mapping[str, Tensor]) -> dict[str, Tensor | str]:
        import torch

        if not prepared:
            return {}
        try:
            vectors = self.clip.encode_prepared(torch.cat(list(prepared.values()))).cpu()
        except RuntimeError as error:
            # The grader's fault: out of memory, a lost device.
            return dict.fromkeys(prepared, f"CLIP failed: {error}")
        return dict(zip(prepared, vectors, strict=True))


def _problem(row: Row) -> str:
    """Why a row cannot be used; empty where it can."""
    for name in ("image", "caption"):
        if name not in row:
            return f"no field {name!r}"
        # A model that said nothing is judged; a picture that is not there cannot be looked at.
        if not isinstance(row[name], str) and not (name == "caption" and row[name] is None):
            return f"{name!r} must be text, not {type(row[name]).__name__}"
    if not row["image"].strip():
        return "'image' is empty"
    references = row.get("references")
    if references is not None and not (
        isinstance(references, list) and all(isinstance(text, str) for text in references)
    ):
        return "'references' must be a list of texts"
    return ""


def _score(reward: Reward, pictures: _Pictures, rows: Mapping[int, Row]) -> dict[int, Row]:
    import torch

    features = dict(zip(rows, pictures([row["image"] for row in rows.values()]), strict=True))
    scored: dict[int, Row] = {
        number: {"reward": None, "parts": {}, "reason": feature}
        for number, feature in features.items()
        if isinstance(feature, str)
    }
    seen = {number: feature for number, feature in features.items() if not isinstance(feature, str)}
    if not seen:
        return scored
    output = reward(
        images=torch.stack(list(seen.values())),
        completion=[rows[number]["caption"] or "" for number in seen],
        reference=[rows[number].get("references") or [] for number in seen],
    )
    parts = {name: values.tolist() for name, values in output.parts.items()}
    for at, number in enumerate(seen):
        reasons = {key: texts[at] for key, texts in output.info.items() if texts[at]}
        scored[number] = {
            "reward": finite(output.values[at].item()),
            "parts": {name: finite(values[at]) for name, values in parts.items()},
            "reason": "; ".join(f"{key.partition('.')[0]}: {text}" for key, text in reasons.items()),
        }
    return scored
