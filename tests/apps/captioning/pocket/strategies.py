"""Random facts for hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

from apps.captioning.pocket.scene import BACKGROUNDS, COLOURS, COUNTS, KINDS, RELATIONS, SIZES, TEXTURES, Group, Scene


def groups() -> st.SearchStrategy[Group]:
    parts = (KINDS, COLOURS, SIZES, TEXTURES, COUNTS)
    return st.builds(Group, *(st.sampled_from(part) for part in parts))


@st.composite
def scenes(draw: st.DrawFn, size: int | None = None) -> Scene:
    """Every fact as likely as any other; the two groups of a scene differ in kind or colour, as all scenes' do."""
    background, seed = draw(st.sampled_from(BACKGROUNDS)), draw(st.integers(0, 2**32 - 1))
    first = draw(groups())
    if (size or draw(st.integers(1, 2))) == 1:
        return Scene((first,), "", background, seed)
    second = draw(groups().filter(lambda group: (group.kind, group.colour) != (first.kind, first.colour)))
    return Scene((first, second), draw(st.sampled_from(RELATIONS)), background, seed)
