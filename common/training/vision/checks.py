"""Checks before a Qwen-VL is trained: what trl finds out about in the middle of a run, or never."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from common.errors import UsageError
from common.models.vlm_batch import forbidden_tokens, inner_model, takes_encoded
from common.models.vlm_folder import check_pair
from common.models.vlm_input import Preprocess
from common.models.vlm_prompt import PromptReader, place
from common.pictures import load_any
from common.training.vision.models import is_processor, tokenizer_of
from common.training.vision.sft import check_words, whole_texts

if TYPE_CHECKING:
    from datasets import Dataset

logger = logging.getLogger(__name__)
#: Rows whose pictures are in memory together while they are looked through.
AT_ONCE = 64


def check_vision(section: str, model: Any, processing: Any, rows: Dataset) -> bool:
    """Whether this is about pictures; refuses what does not go together.

    The processor pads on the left from here on.

    Args:
        section: of the config, for messages.
        model: what is to be trained.
        processing: its processor or tokenizer.
        rows: what it is to be trained on.

    Raises:
        UsageError: model, processor and rows do not go together; says how they would.
    """
    sees = hasattr(model.config, "vision_config")
    if not is_processor(processing):
        if sees or {"images", "image"} & set(rows.column_names):
            raise UsageError(
                f"{section}: a model that sees, or rows with pictures, need a processor, but a bare tokenizer was "
                "given. AutoProcessor returns one where a folder holds no processor that transformers knows; copy the "
                "base model's processor files into it"
            )
        return False
    if not sees:
        raise UsageError(f"{section}: {type(model).__name__} does not see; give its tokenizer, not a processor")
    # On the right, the marks of picture tokens that trl takes from it would be those of other tokens.
    processing.tokenizer.padding_side = "left"
    check_pair(model, processing)
    _check_vision_tower(section, model, processing)
    _check_rows(section, processing, rows)
    return True


def _check_vision_tower(section: str, model: Any, processor: Any) -> None:
    if not takes_encoded(inner_model(model)):
        raise UsageError(f"{section}: this version of transformers is too old for pictures; install 5.24 or newer")
    vision, made = model.config.vision_config, Preprocess.of(processor)
    for what, there, here in (
        ("patches", vision.patch_size, made.patch),
        ("image tokens", vision.patch_size * vision.spatial_merge_size, made.patch * made.merge),
    ):
        if there != here:
            raise UsageError(
                f"{section}: the processor is not this model's: its {what} are {here} pixels wide, the model's {there}"
            )


def _check_rows(section: str, processor: Any, rows: Dataset) -> None:
    if "images" not in rows.column_names and "image" in rows.column_names:
        raise UsageError(f"{section}: name the column images, and let each row hold a list of pictures")
    for row, (prompt, images) in enumerate(zip(rows["prompt"], stored_pictures(rows), strict=True)):
        if isinstance(prompt, str):
            raise UsageError(
                f"{section}: row {row}: prompts must be conversations, lists of messages with role and content, where "
                "the model sees: the chat template says where a picture stands"
            )
        try:
            check_words(processor, place(prompt, len(images)))
        except UsageError as error:
            raise UsageError(f"{section}: row {row}: {error}") from error


def safe_settings(model: Any, extra: Mapping[str, Any]) -> dict[str, Any]:
    """GRPO's further settings, with those that trl needs so that pictures do not stop a run.

    trl forbids itself to sample the token of pictures, but not that of videos, and not even the former where
    `generation_kwargs` forbid other tokens. And by default it gathers the pictures for its own log: processes of which
    one has a batch without pictures then wait for each other for ever.
    """
    safe = {"log_multimodal": False, **extra}
    if not extra.get("use_vllm"):  # which has no such setting
        kwargs = dict(extra.get("generation_kwargs") or {})
        barred = {*(kwargs.get("suppress_tokens") or ()), *forbidden_tokens(model)}
        safe["generation_kwargs"] = {**kwargs, "suppress_tokens": sorted(barred)}
    return safe


def stored_pictures(rows: Dataset) -> Iterator[list[Any]]:
    """The pictures of every row as they are stored, undecoded, a few rows at a time."""
    if "images" not in rows.column_names:
        yield from ([] for _ in range(len(rows)))
        return
    for few in rows.select_columns("images").with_format("arrow").iter(batch_size=AT_ONCE):
        yield from (cell or [] for cell in few["images"].to_pylist())


def fitting(section: str, processor: Any, rows: Dataset, max_length: int) -> Dataset:
    """The rows of which prompt, pictures and completion have at most `max_length` tokens together.

    The others are left out, not cut: a cut picture has another number of tokens than the model sees patches of, and a
    cut answer teaches to answer without an end.

    Raises:
        UsageError: no row is left, or a picture is extremely long.
    """
    reader = PromptReader(processor)
    pictures = [[reader.preprocess.tokens(*_size(image)) for image in images] for images in stored_pictures(rows)]
    texts = whole_texts(
        reader, list(rows.select_columns(["prompt", "completion"])), [len(tokens) for tokens in pictures]
    )
    ids = tokenizer_of(processor)(["".join(text) for text in texts], add_special_tokens=False)["input_ids"]
    # One placeholder for each picture is counted with the text.
    lengths = [len(one) + sum(tokens) - len(tokens) for one, tokens in zip(ids, pictures, strict=True)]
    keep = [row for row, length in enumerate(lengths) if length <= max_length]
    if not keep:
        raise UsageError(f"{section}.max_length: every row is longer than {max_length} tokens, its pictures' included")
    if len(keep) < len(rows):
        logger.warning(
            "%s: %d of %d rows are longer than %d tokens, their pictures' included",
            *(section, len(rows) - len(keep), len(rows), max_length),
        )
    return rows.select(keep) if len(keep) < len(rows) else rows


def _size(cell: Any) -> tuple[int, int]:
    """Height and width of a picture; of a usual file no more than its head is read."""
    from io import BytesIO

    from PIL import Image

    source = (cell.get("bytes") or cell["path"]) if isinstance(cell, dict) else cell
    try:
        with Image.open(BytesIO(source) if isinstance(source, bytes) else source) as picture:
            return picture.height, picture.width
    except OSError:  # DICOM, or nothing that can be read, which `load_any` explains
        shown = load_any(source)
        return shown.height, shown.width
