"""Files of preference pairs: what is read, what is refused and where, and that no prompt is on both sides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from common.errors import DataError, UsageError
from common.rewards.trained.preferences import Preference, read_preferences, split_preferences
from tests.common.rewards.trained.preferring import rows, write

GOOD: dict[str, Any] = {"prompt": "which?", "chosen": "this", "rejected": "that"}


def talk(*texts: str) -> list[dict[str, str]]:
    return [{"role": "user" if at % 2 == 0 else "assistant", "content": text} for at, text in enumerate(texts)]


def said(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


@pytest.mark.parametrize(
    ("row", "prompt"),
    [
        (GOOD, "which?"),
        ({"prompt": talk("which?"), "chosen": said("this"), "rejected": said("that")}, tuple(talk("which?"))),
        ({"chosen": talk("which?", "this"), "rejected": talk("which?", "that")}, tuple(talk("which?"))),
        ({"chosen": "which? this", "rejected": "which? that"}, "which? "),
    ],
    ids=["standard", "conversational", "implicit conversational", "implicit"],
)
def test_trls_forms(tmp_path: Path, row: dict[str, Any], prompt: Any) -> None:
    (found,) = read_preferences(write(tmp_path / "pairs.jsonl", [row])).rows
    assert (found.prompt, found.chosen, found.rejected) == (prompt, "this", "that")


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"prompt": "which?", "chosen": "this"}, "no field 'rejected'"),
        ({**GOOD, "chosen": 3}, "'chosen' must be a text or a list"),
        ({**GOOD, "chosen": said("this")}, "or the reverse"),
        ({**GOOD, "chosen": talk("a", "b"), "rejected": said("c")}, "'chosen' must be one message"),
        ({"chosen": "this", "rejected": "other"}, "no 'prompt'"),
        ({**GOOD, "images": ["nowhere.png"]}, "no such picture"),
        ({**GOOD, "images": 3}, "'images' must be a path"),
        ({**GOOD, "reference": 3}, "'reference' must be a text"),
        ("{", "not JSON"),
        ("[]", "expected a JSON object"),
    ],
)
def test_a_bad_row_is_named_by_its_line(tmp_path: Path, row: Any, told: str) -> None:
    with pytest.raises(DataError, match=told) as caught:
        read_preferences(write(tmp_path / "pairs.jsonl", [GOOD, row]))
    assert caught.value.line == 2


def test_pairs_that_teach_nothing_are_left_out_and_told(tmp_path: Path) -> None:
    turned = {**GOOD, "chosen": "that", "rejected": "this"}
    found = read_preferences(write(tmp_path / "p.jsonl", [GOOD, {**GOOD, "rejected": "this"}, GOOD, turned]))
    assert [row.line for row in found.rows] == [1, 4]
    assert (found.same, found.repeated, found.contradicted) == ((2,), (3,), (4,))
    assert len(found.notes()) == 3
    with pytest.raises(DataError, match="no pair in it"):
        read_preferences(write(tmp_path / "p.jsonl", [{**GOOD, "rejected": "this"}]))


def test_labels_are_columns_of_nothing_but_zeros_and_ones(tmp_path: Path) -> None:
    labelled = [
        {**GOOD, "chosen_right": 1, "rejected_right": False, "chosen_rating": 4.5, "rejected_rating": 1},
        {
            **GOOD,
            "prompt": "who?",
            "chosen_right": None,
            "rejected_right": 0,
            "chosen_rating": 1,
            "rejected_rating": 0,
        },
    ]
    path = write(tmp_path / "p.jsonl", labelled)
    found = read_preferences(path)
    assert found.dimensions == ("right",)
    assert [row.labels["right"] for row in found.rows] == [(True, False), (None, False)]
    with pytest.raises(DataError, match=r"'chosen_rating' is a label: 0, 1 or null, not 4.5"):
        read_preferences(path, ["rating"])


def test_images_are_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "one.png").write_bytes(b"")
    (row,) = read_preferences(write(tmp_path / "p.jsonl", [{**GOOD, "images": "one.png"}])).rows
    assert row.images == (tmp_path / "one.png",)


def test_a_prompt_said_in_other_capitals_is_the_same_prompt(tmp_path: Path) -> None:
    other = {**GOOD, "prompt": "  Which?", "chosen": "it"}
    found = read_preferences(write(tmp_path / "p.jsonl", [GOOD, other])).rows
    assert found[0].group == found[1].group


@given(
    st.lists(st.integers(0, 30), min_size=1, max_size=80),
    st.integers(0, 5),
    st.floats(0.05, 0.6),
    st.floats(0.05, 0.35),
)
@example([10], 0, 0.59375, 0.34375)  # 6.5 and 3.8 of 11 prompts, rounded, are all of them
def test_no_prompt_is_on_two_sides(groups: list[int], seed: int, held_out: float, validation: float) -> None:
    pairs = [Preference("p", "a", "b", group=str(group)) for group in [*groups, *range(10)]]
    split = split_preferences(pairs, held_out, validation, seed)
    sides = [{pairs[at].group for at in part} for part in (split.train, split.validation, split.test)]
    assert sum(map(len, sides)) == len(set().union(*sides))
    assert sorted((*split.train, *split.validation, *split.test)) == list(range(len(pairs)))
    assert all(sides)


def test_too_few_prompts_and_impossible_shares(tmp_path: Path) -> None:
    pairs = read_preferences(write(tmp_path / "p.jsonl", rows(12))).rows
    with pytest.raises(DataError, match="split by prompt needs 10"):
        split_preferences(pairs[:4], 0.2, 0.1, 0)
    with pytest.raises(UsageError, match="leave something to train on"):
        split_preferences(pairs, 0.9, 0.1, 0)
