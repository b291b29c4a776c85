"""The words that `mutations` exchanges in English captions (COCO's objects, colours, positions …), and how."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence

WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*|\d+")

# Put in another's place; shades between them are only taken out, for a silver car may pass for a white one.
PLAIN_COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white")
COLOURS = (*PLAIN_COLOURS, "grey", "gray", "beige", "silver", "golden", "tan")

NUMBERS = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")

# What stands for a relation, and what contradicts it; the longest that fits is exchanged. "on" comes last, because it
# stands in many phrases that tell no place ("on a sunny day" is seldom, "on a skateboard" common).
RELATIONS: Mapping[str, str] = {
    "to the left of": "to the right of",
    "to the right of": "to the left of",
    "on the left of": "on the right of",
    "on the right of": "on the left of",
    "left of": "right of",
    "right of": "left of",
    "on the left": "on the right",
    "on the right": "on the left",
    "on top of": "underneath",
    "on the side of": "far away from",
    "in front of": "behind",
    "in the front of": "in the back of",
    "in the back of": "in the front of",
    "next to": "far away from",
    "close to": "far away from",
    "out of": "into",
    "away from": "towards",
    "atop": "underneath",
    "above": "below",
    "below": "above",
    "over": "under",
    "under": "over",
    "underneath": "on top of",
    "beneath": "above",
    "behind": "in front of",
    "beside": "far away from",
    "near": "far away from",
    "inside": "outside",
    "outside": "inside",
    "into": "out of",
    "up a": "down a",
    "up the": "down the",
    "down a": "up a",
    "down the": "up the",
    "with": "without",
    "without": "with",
    "on": "under",
}

# Words of one class exchange places between two objects ("a small dog and a large cat").
ATTRIBUTES: tuple[tuple[str, ...], ...] = (
    COLOURS,
    ("small", "little", "tiny", "big", "large", "huge", "giant", "medium"),
    ("short", "tall", "long"),
    ("young", "old", "new", "older", "younger"),
    ("wooden", "metal", "glass", "plastic", "brick", "stone", "concrete", "paper", "leather"),
    ("striped", "plain", "dotted", "spotted", "checkered", "plaid"),
    ("empty", "full"),
    ("open", "closed"),
    ("wet", "dry", "dirty", "clean", "snowy", "grassy", "sandy"),
)

# Singular and plural by what kind of thing it is; an object is exchanged for one of another kind.
OBJECTS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "person": (
        ("man", "men"), ("woman", "women"), ("boy", "boys"), ("girl", "girls"), ("child", "children"),
        ("person", "people"), ("lady", "ladies"), ("guy", "guys"), ("baby", "babies"), ("kid", "kids"),
    ),
    "vehicle": (
        ("car", "cars"), ("bus", "buses"), ("train", "trains"), ("truck", "trucks"), ("airplane", "airplanes"),
        ("plane", "planes"), ("boat", "boats"), ("bicycle", "bicycles"), ("bike", "bikes"),
        ("motorcycle", "motorcycles"), ("jet", "jets"), ("subway", "subways"),
    ),
    "animal": (
        ("dog", "dogs"), ("cat", "cats"), ("horse", "horses"), ("cow", "cows"), ("elephant", "elephants"),
        ("bear", "bears"), ("zebra", "zebras"), ("giraffe", "giraffes"), ("bird", "birds"), ("lamb", "lambs"),
    ),
    "street": (
        ("bench", "benches"), ("hydrant", "hydrants"), ("sign", "signs"), ("pole", "poles"), ("street", "streets"),
        ("building", "buildings"), ("tower", "towers"), ("road", "roads"),
    ),
    "food": (
        ("pizza", "pizzas"), ("banana", "bananas"), ("apple", "apples"), ("sandwich", "sandwiches"),
        ("carrot", "carrots"), ("donut", "donuts"), ("cake", "cakes"), ("salad", "salads"),
    ),
    "furniture": (
        ("table", "tables"), ("chair", "chairs"), ("couch", "couches"), ("bed", "beds"), ("desk", "desks"),
        ("sink", "sinks"), ("toilet", "toilets"), ("refrigerator", "refrigerators"), ("oven", "ovens"),
        ("microwave", "microwaves"), ("cabinet", "cabinets"), ("counter", "counters"),
    ),
    "sport": (
        ("skateboard", "skateboards"), ("surfboard", "surfboards"), ("frisbee", "frisbees"), ("kite", "kites"),
        ("ball", "balls"), ("snowboard", "snowboards"), ("racket", "rackets"), ("racquet", "racquets"),
    ),
    "thing": (
        ("laptop", "laptops"), ("phone", "phones"), ("clock", "clocks"), ("umbrella", "umbrellas"), ("vase", "vases"),
        ("bottle", "bottles"), ("cup", "cups"), ("bowl", "bowls"), ("plate", "plates"), ("knife", "knives"),
        ("book", "books"), ("tie", "ties"), ("suitcase", "suitcases"), ("keyboard", "keyboards"),
    ),
    "round": (("circle", "circles"), ("ring", "rings"), ("disc", "discs")),
    "cornered": (("square", "squares"), ("triangle", "triangles"), ("star", "stars"), ("cross", "crosses")),
    "shape": (("heart", "hearts"), ("moon", "moons"), ("crescent", "crescents")),
}  # fmt: skip

# Words between two objects that make "A … B" say something else than "B … A".
DIRECTED = frozenset(
    {
        "on", "in", "under", "above", "below", "over", "behind", "inside", "atop", "beneath", "underneath", "left",
        "right", "top", "front", "holds", "rides", "wears", "eats", "pulls", "carries", "sits", "stands", "hits",
        "holding", "riding", "wearing", "eating", "pulling", "carrying", "driving", "walking", "feeding", "throwing",
        "catching", "hitting", "pushing", "watching",
    }
)  # fmt: skip

# Said by captions of any picture; neither a keyword list nor a colour's noun is made of them.
FUNCTION_WORDS = frozenset(
    {
        "a", "all", "an", "and", "another", "are", "as", "at", "back", "be", "been", "being", "but", "by", "down",
        "drawing", "each", "five", "for", "four", "from", "front", "has", "have", "having", "he", "her", "him", "his",
        "image", "in", "into", "is", "it", "its", "left", "near", "next", "of", "off", "on", "one", "onto", "or",
        "other", "out", "over", "photo", "picture", "right", "she", "shown", "side", "six", "some", "that", "the",
        "their", "them", "there", "these", "they", "this", "those", "three", "to", "top", "two", "under", "up",
        "very", "was", "were", "which", "while", "who", "with", "without",
    }
)  # fmt: skip

# Kinds of drawings' objects.
SHAPES = ("round", "cornered", "shape")

# An object's kind, and 1 where the word is its plural.
KIND = {
    word: (kind, plural) for kind, entries in OBJECTS.items() for entry in entries for plural, word in enumerate(entry)
}


def is_colour(caption: str, match: re.Match[str]) -> bool:
    """Whether a word is a colour and not a fruit, a metal or a part of a name."""
    name = match[0].istitle() and caption[: match.start()].strip()
    if match[0].lower() not in COLOURS or name:
        return False
    following = WORD.match(caption, match.end() + 1) if caption[match.end() : match.end() + 1] in (" ", "-") else None
    if following is not None and following[0].lower() not in FUNCTION_WORDS:
        return True
    before = WORD.findall(caption[: match.start()])
    return bool(before) and before[-1].lower() in ("is", "are", "painted", "coloured", "colored")


def exchange(
    caption: str,
    true: frozenset[str],
    rng: random.Random,
    places: Sequence[re.Match[str]],
    candidates: Callable[[re.Match[str]], Sequence[str]],
) -> str | None:
    """One of the places, where it can be, with a word that is not true of the picture."""
    for match in rng.sample(places, len(places)):
        known = true | ALIKE.get(match[0].lower(), frozenset())
        wrong = [word for word in candidates(match) if word not in known]
        if wrong:
            return put(caption, match.start(), match.end(), rng.choice(wrong))
    return None


# Names of what may be one and the same: exchanging them would leave the caption true.
ALIKE = {
    word: frozenset(group)
    for group in (
        ("grey", "gray", "silver"),
        ("tan", "beige", "brown"),
        ("golden", "yellow"),
        ("big", "large", "huge", "giant"),
        ("small", "little", "tiny", "short"),
        ("tall", "long"),
        ("old", "older"),
        ("young", "younger", "new"),
        ("dotted", "spotted"),
        ("checkered", "plaid"),
        ("brick", "stone", "concrete"),
    )
    for word in group
}


def swapped(caption: str, pair: tuple[re.Match[str], re.Match[str]]) -> str:
    """The caption with two of its words, the first one first, in each other's place."""
    first, second = pair
    # From the end, so that the first place is still where it was.
    changed = put(caption, second.start(), second.end(), first[0].lower())
    return put(changed, first.start(), first.end(), second[0].lower())


def put(caption: str, start: int, end: int, words: str) -> str:
    """A phrase in another's place: capital where that had one, and "a" or "an" before it as it sounds."""
    head = caption[:start]
    if caption[start:end].isupper() and end - start > 1:
        words = words.upper()
    elif caption[start].isupper():
        words = words[0].upper() + words[1:]
    article = re.search(r"\b([Aa])n?\s+$", head)
    if article is not None:
        right = article[1] + ("n" if words[0].lower() in "aeiou" else "")
        head = head[: article.start()] + right + head[article.start() :].lstrip("Aan")
    return head + words + caption[end:]


def body_of(caption: str) -> tuple[str, str]:
    """The caption without its final punctuation, and that."""
    body = caption.rstrip(" .!?\n")
    return body, caption[len(body) :].strip()
