"""Settings of questions and pictures. Nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

Format = Literal[
    "pocket", "jsonl", "vqa_rad", "slake", "path_vqa", "vqa_med_2019", "vqa_med_2021", "pmc_vqa", "omni_med_vqa"
]
#: Data sets on disk.
FORMATS: tuple[Format, ...] = tuple(name for name in get_args(Format) if name != "pocket")


@dataclass
class DataConfig:
    """Where questions about pictures come from.

    Args:
        format: `pocket` (phantoms drawn by code), `jsonl` (ours, see `prepare`), or a public data set's own files.
        path: the data set's folder, or one of its files; not used by `pocket`.
        pictures: folder of the pictures, where they do not lie in or beside `path`.
        split: name of the split; all of them where empty (`pocket`: `train`).
        languages: ISO 639-1 codes of the languages to keep; all where empty.
        kinds: `closed`, `open` or both; both where empty.
        phrase_types: of VQA-RAD: `freeform`, `para` (also written paraphrase) and `frame`; all where empty. The two
            that stand here make the usual sets of 1,797 and 451 questions.
        missing_pictures: what to do with a question whose picture is absent: stop with an `error`, `drop` the
            question (counted and named), or `keep` it without its picture.
        limit: questions to keep; 0 keeps all.
        seed: which questions: `pocket` draws others for each seed; else a limit keeps the first ones for 0, or a draw.
    """

    format: Format = "pocket"
    path: str = ""
    pictures: str = ""
    split: str = ""
    languages: list[str] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    phrase_types: list[str] = field(default_factory=lambda: ["freeform", "para"])
    missing_pictures: Literal["error", "drop", "keep"] = "error"
    limit: int = 0
    seed: int = 0
