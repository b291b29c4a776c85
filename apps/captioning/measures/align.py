"""Puts predictions and references of the same pictures side by side; what does not fit together is named, by id."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from common.errors import DataError

Id = str | int
Predictions = Mapping[Id, str] | Iterable[tuple[Id, str]]

#: Ids named in a message.
_NAMED = 10


@dataclass(frozen=True)
class Aligned:
    """Captions and references of the same pictures, in the order of their ids, so that no order of files matters.

    Attributes:
        ids: `(N,)`.
        captions: `(N,)` one predicted caption each.
        references: `(N,)` one or more right captions each.
        missing: pictures with references and no prediction, left out.
        extra: pictures with a prediction and no references, left out.
    """

    ids: tuple[Id, ...]
    captions: tuple[str, ...]
    references: tuple[tuple[str, ...], ...]
    missing: tuple[Id, ...] = ()
    extra: tuple[Id, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)


def align(predictions: Predictions, references: Mapping[Id, Sequence[str]], intersection: bool = False) -> Aligned:
    """Match by id.

    Args:
        predictions: id -> caption, or pairs of them.
        references: id -> right captions.
        intersection: score the pictures that both have, instead of raising where they differ.

    Raises:
        DataError: two captions for one id; a caption that is no text; ids that differ in type only (7 and "7"); a
            picture without references; missing or extra predictions; no picture in common. Lists the ids.
    """
    pairs = list(predictions.items() if isinstance(predictions, Mapping) else predictions)
    twice = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]
    if twice:
        raise DataError(f"{_count(twice, 'picture has', 'pictures have')} two or more captions: {_names(twice)}")
    captions = dict(pairs)
    wrong = [key for key, text in captions.items() if not isinstance(text, str)]
    if wrong:
        raise DataError(f"the caption of {_names(wrong)} is {captions[wrong[0]]!r}, not a text")
    _check_references(references)
    missing = [key for key in references if key not in captions]
    extra = [key for key in captions if key not in references]
    _check_types(missing, extra)
    shared = sorted((key for key in captions if key in references), key=lambda key: (str(key), str(type(key))))
    if not intersection and (missing or extra):
        raise DataError(_mismatch(missing, extra, len(references)))
    if not shared:
        raise DataError(
            f"predictions and references have no picture in common: predictions are of {_names(extra) or 'nothing'}, "
            f"references of {_names(missing) or 'nothing'}"
        )
    return Aligned(
        tuple(shared),
        tuple(captions[key] for key in shared),
        tuple(tuple(references[key]) for key in shared),
        tuple(missing),
        tuple(extra),
    )


def _check_references(references: Mapping[Id, Sequence[str]]) -> None:
    lone = [key for key, texts in references.items() if isinstance(texts, str)]
    if lone:
        raise DataError(f"the references of {_names(lone)} are one text; give a list of texts")
    none = [key for key, texts in references.items() if not any(text and text.strip() for text in texts)]
    if none:
        raise DataError(f"{_count(none, 'picture has', 'pictures have')} no reference caption: {_names(none)}")


def _check_types(missing: Sequence[Id], extra: Sequence[Id]) -> None:
    """The commonest mismatch of all: 42 in one file, "42" in the other."""
    written = {str(key): key for key in missing}
    alike = [(key, written[str(key)]) for key in extra if str(key) in written]
    if alike:
        one, other = alike[0]
        raise DataError(
            f"{len(alike)} ids differ in type only: predictions have {one!r} ({type(one).__name__}), references "
            f"{other!r} ({type(other).__name__}); convert one side"
        )


def _mismatch(missing: Sequence[Id], extra: Sequence[Id], total: int) -> str:
    parts = []
    if missing:
        parts.append(f"no prediction for {len(missing)} of {total} pictures: {_names(missing)}")
    if extra:
        parts.append(f"{_count(extra, 'prediction', 'predictions')} of pictures without references: {_names(extra)}")
    return f"{'; '.join(parts)}. To score the pictures that both have, ask for the intersection"


def _names(ids: Sequence[Id]) -> str:
    more = f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else ""
    return ", ".join(repr(key) for key in ids[:_NAMED]) + more


def _count(ids: Sequence[Id], one: str, many: str) -> str:
    return f"{len(ids)} {one if len(ids) == 1 else many}"
