from __future__ import annotations

import pytest

from apps.captioning.measures.align import align
from common.errors import DataError

REFERENCES = {1: ["a dog"], 2: ["a cat"], 3: ["a bird", "one bird"]}


def test_pictures_come_in_the_order_of_their_ids_whatever_the_files_order() -> None:
    found = align([(3, "c"), (1, "a"), (2, "b")], dict(reversed(REFERENCES.items())))
    assert (found.ids, found.captions) == ((1, 2, 3), ("a", "b", "c"))
    assert found.references[2] == ("a bird", "one bird")


@pytest.mark.parametrize(
    ("predictions", "message"),
    [
        ({1: "a", 2: "b"}, r"no prediction for 1 of 3 pictures: 3\."),
        ({1: "a", 2: "b", 3: "c", 9: "d"}, r"1 prediction of pictures without references: 9\."),
        ([(1, "a"), (1, "b"), (2, "c"), (3, "d")], "1 picture has two or more captions: 1"),
        (
            {"1": "a", "2": "b", "3": "c"},
            r"3 ids differ in type only: predictions have '1' \(str\), references 1 \(int\)",
        ),
        ({1: "a", 2: None, 3: "c"}, "the caption of 2 is None, not a text"),
        ({}, "no prediction for 3 of 3"),
    ],
)
def test_what_does_not_fit_is_named(predictions: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        align(predictions, REFERENCES)  # type: ignore[arg-type]


@pytest.mark.parametrize("texts", [[], [""], ["  "]])
def test_a_picture_without_references_is_named(texts: list[str]) -> None:
    with pytest.raises(DataError, match=r"1 picture has no reference caption: 'dog\.jpg'"):
        align({"dog.jpg": "a dog"}, {"dog.jpg": texts})


def test_references_must_be_lists() -> None:
    with pytest.raises(DataError, match="are one text"):
        align({1: "a"}, {1: "a dog"})


def test_the_intersection_is_scored_where_it_is_asked_for() -> None:
    found = align({1: "a", 9: "x"}, REFERENCES, intersection=True)
    assert (found.ids, found.missing, found.extra) == ((1,), (2, 3), (9,))
    with pytest.raises(DataError, match="no picture in common"):
        align({9: "x"}, REFERENCES, intersection=True)


def test_many_ids_are_cut() -> None:
    with pytest.raises(DataError, match="0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 90 more"):
        align({}, {number: ["a"] for number in range(100)})
