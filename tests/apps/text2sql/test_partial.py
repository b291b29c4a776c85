"""Truth tables of the forms and of the token overlap."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.text2sql.parts.partial import is_well_formed, ngram_overlap, section, sql_tokens

FENCED = "```sql\nSELECT 1\n```"
REASONED = f"<think>count</think><answer>{FENCED}</answer>"


@pytest.mark.parametrize(
    ("completion", "style", "expected"),
    [
        ("SELECT name FROM singer", "pocket", True),
        ("  with a as (select 1) select * from a", "pocket", True),
        ("(SELECT 1) UNION SELECT 2", "pocket", True),
        (FENCED, "pocket", False),
        ("Here you are: SELECT 1", "pocket", False),
        (f"SELECT 1 {FENCED}", "pocket", False),
        ("SELECT 1 </answer>", "pocket", False),
        ("", "pocket", False),
        (REASONED, "reasoning", True),
        (f"<think>a</think>\n<answer>so:\n{FENCED}</answer> ", "reasoning", True),
        (f"<answer>{FENCED}</answer><think>a</think>", "reasoning", False),
        ("<think>a</think><answer>SELECT 1</answer>", "reasoning", False),
        (f"<think>{FENCED}</think><answer></answer>", "reasoning", False),
        ("<think>a</think><answer>```sql\n\n```</answer>", "reasoning", False),
        (f"<think>a</think><answer>{FENCED}</answer><answer>{FENCED}</answer>", "reasoning", False),
        (f"<think>a<answer>{FENCED}</answer>", "reasoning", False),
        ("SELECT 1", "reasoning", False),
        ("<think>a</think><solution>SELECT 1</solution>", "skyrl", True),
        ("<solution>SELECT 1</solution>", "skyrl", False),
        ("<think>a</think><solution>SELECT 1</solution><solution>SELECT 2</solution>", "skyrl", False),
        ("<think>a</think><solution> </solution>", "skyrl", False),
        (
            "<think>a</think><sql>x</sql><observation>1</observation><think>b</think><solution>S</solution>",
            "skyrl",
            True,
        ),
        ("<think>a</think><sql>x</sql><observation>1</observation><solution>S</solution>", "skyrl", False),
    ],
)
def test_forms(completion: str, style: str, expected: bool) -> None:
    assert is_well_formed(completion, style) is expected


def test_unknown_form_raises() -> None:
    with pytest.raises(ValueError, match="unknown style"):
        is_well_formed("SELECT 1", "haiku")


@given(st.text(max_size=80), st.sampled_from(["pocket", "reasoning", "skyrl"]))
def test_form_of_anything(completion: str, style: str) -> None:
    assert is_well_formed(completion, style) in (True, False)
    assert section(f"<a>{completion}</a>", "b") == ""


def test_tokens_leave_comments_out() -> None:
    assert sql_tokens("SELECT a -- b\n /* c */ FROM t;") == ("select", "a", "from", "t")
    assert sql_tokens("SELECT 'open") == ()


def test_ngram_overlap() -> None:
    gold = "SELECT a FROM t WHERE b > 3"
    assert ngram_overlap("select A from T\nwhere B>3 -- because", gold) == 1.0
    # Eight tokens, seven bigrams; `>=` changes two of them.
    assert ngram_overlap(gold.replace(">", ">="), gold) == pytest.approx(5 / 9)
    assert ngram_overlap("", gold) == ngram_overlap("SELECT 'open", gold) == 0.0
    assert ngram_overlap("SELECT", "SELECT") == 1.0
