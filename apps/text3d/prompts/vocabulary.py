"""The words of the small world: what the parser reads, the writer writes and the judge compares with."""

from __future__ import annotations

#: Kinds of solids, by their canonical name, with the plural.
KINDS: dict[str, str] = {
    "cube": "cubes",
    "sphere": "spheres",
    "cylinder": "cylinders",
    "cone": "cones",
    "torus": "tori",
    "pyramid": "pyramids",
    "capsule": "capsules",
    "cross": "crosses",
}

#: Colours, with their reference in sRGB, 0 to 1.
COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.86, 0.12, 0.10),
    "orange": (0.96, 0.53, 0.08),
    "yellow": (0.96, 0.88, 0.15),
    "green": (0.12, 0.62, 0.20),
    "cyan": (0.15, 0.78, 0.84),
    "blue": (0.12, 0.24, 0.86),
    "purple": (0.62, 0.14, 0.66),
    "gray": (0.50, 0.50, 0.50),
}

#: Sizes, with their factor of a scene's usual size (`apps.text3d.pocket.sampler.usual_size`).
SIZES: dict[str, float] = {"small": 0.62, "large": 1.35}

#: Counts, in words.
COUNTS: dict[str, int] = {"one": 1, "two": 2, "three": 3, "four": 4}
COUNT_WORDS: dict[int, str] = {number: word for word, number in COUNTS.items()}

#: Relations, with the opposite: what is true of object and subject where the relation is true of subject and object.
RELATIONS: dict[str, str] = {
    "left of": "right of",
    "right of": "left of",
    "in front of": "behind",
    "behind": "in front of",
    "above": "below",
    "below": "above",
    "beside": "beside",
}

#: How many kinds of things a prompt may hold.
MOST_THINGS = 3

#: Other words for a kind, in the singular and the plural.
KIND_WORDS: dict[str, str] = {
    "box": "cube",
    "block": "cube",
    "ball": "sphere",
    "orb": "sphere",
    "globe": "sphere",
    "donut": "torus",
    "doughnut": "torus",
    "ring": "torus",
    "pill": "capsule",
    "boxes": "cube",
    "blocks": "cube",
    "balls": "sphere",
    "orbs": "sphere",
    "globes": "sphere",
    "donuts": "torus",
    "doughnuts": "torus",
    "rings": "torus",
    "toruses": "torus",
    "pills": "capsule",
    **{kind: kind for kind in KINDS},
    **{plural: kind for kind, plural in KINDS.items()},
}

#: Kind words that mean more than one.
PLURALS = frozenset(KINDS.values()) | {word for word in KIND_WORDS if word.endswith(("s", "i"))} - set(KINDS)

COLOUR_WORDS: dict[str, str] = {
    "grey": "gray",
    "violet": "purple",
    "turquoise": "cyan",
    **{colour: colour for colour in COLOURS},
}

SIZE_WORDS: dict[str, str] = {
    "tiny": "small",
    "little": "small",
    "big": "large",
    "huge": "large",
    **{size: size for size in SIZES},
}

#: Ways to say a relation, as the parser's tokens.
RELATION_PHRASES: dict[tuple[str, ...], str] = {
    tuple(phrase.split()): name
    for name, phrases in {
        "left of": ("left of", "to the left of", "on the left of", "to the left side of", "on the left side of"),
        "right of": ("right of", "to the right of", "on the right of", "to the right side of", "on the right side of"),
        "in front of": ("in front of", "in the front of"),
        "behind": ("behind", "at the back of", "in back of"),
        "above": ("above", "on top of", "over", "atop", "on"),
        "below": ("below", "under", "underneath", "beneath"),
        "beside": ("beside", "next to", "near", "close to", "alongside"),
    }.items()
    for phrase in phrases
}
