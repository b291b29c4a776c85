"""Mutants of captions: wrong where they say so, English where they can be, and none where nothing can be changed."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from pathlib import Path

import pytest

from apps.captioning.auditing.mutations import FACTS, HACKS, Told, exact, lengthened
from apps.captioning.pocket.grammar import read, says, write
from apps.captioning.pocket.mutations import MUTATIONS
from apps.captioning.pocket.world import load_pocket


def all_of(name: str, caption: str, *said: str) -> set[str | None]:
    """Everything that a mutation makes of a caption."""
    return {FACTS[name](Told(caption, said), random.Random(seed)) for seed in range(400)}


def test_colour() -> None:
    found = all_of("colour", "A red bus next to a car.")
    assert "A blue bus next to a car." in found
    assert "An orange bus next to a car." in found, "the article follows"
    assert all("red" not in str(text) for text in found)
    assert "The bus is green." in all_of("colour", "The bus is red.")
    assert all_of("colour", "A bowl with an orange on the table") == {None}, "a fruit"
    assert all_of("colour", "People in front of the White House") == {None}, "a name"
    assert all_of("colour", "A dog on a couch") == {None}
    assert "A BLUE BUS" in all_of("colour", "A RED BUS")
    told = all_of("colour", "A red bus.", "A red and white bus with a black roof.")
    assert not any(word in str(text) for text in told for word in ("white", "black")), "these are true of the picture"
    assert "A white car." not in all_of("colour", "A white car.")
    assert all_of("colour", "A golden dog.") & {"A yellow dog."} == set(), "may be one and the same"


def test_count() -> None:
    assert all_of("count", "Two dogs run.") == {
        f"{word} dogs run." for word in ("Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten")
    }
    assert "5 dogs" in all_of("count", "3 dogs")
    assert all(text not in ("3 dogs", None) for text in all_of("count", "3 dogs"))
    assert "There are four cups." in all_of("count", "There are a pair of cups.")
    assert all_of("count", "A dog runs in 1984.") == {None}
    assert "Two dogs." not in all_of("count", "Five dogs.", "Two of them are black."), "two is true as well"


@pytest.mark.parametrize(
    ("caption", "wrong"),
    [
        ("A cup to the left of a plate.", "A cup to the right of a plate."),
        ("A cat on top of a table", "A cat underneath a table"),
        ("a man standing in front of a bus", "a man standing behind a bus"),
        ("A bus driving down the road", "A bus driving up the road"),
        ("A man with a hat", "A man without a hat"),
        ("A dog on a couch.", "A dog under a couch."),
        ("Above a house", "Below a house"),
    ],
)
def test_relation(caption: str, wrong: str) -> None:
    assert all_of("relation", caption) == {wrong}


def test_relation_changes_one_and_leaves_idioms() -> None:
    found = all_of("relation", "A dog beside a cat behind a fence")
    assert found == {"A dog far away from a cat behind a fence", "A dog beside a cat in front of a fence"}
    assert all_of("relation", "A plate filled with food") == {None}
    assert all_of("relation", "She is sitting down") == {None}
    assert all_of("relation", "An online upload") == {None}


def test_object() -> None:
    found = all_of("object", "Two dogs sleep.", "A horse is near a car.")
    assert "Two cakes sleep." in found
    assert all(text is not None and "dogs" not in text for text in found)
    assert not any("cars" in str(text) or "horses" in str(text) for text in found), "true, or of the same kind"
    assert "An umbrella runs" in all_of("object", "A dog runs")
    assert all_of("object", "Something unknown happens") == {None}
    assert all_of("object", "A red circle.") <= {
        f"A red {word}." for word in ("square", "triangle", "star", "cross", "heart", "moon", "crescent")
    }


def test_swaps() -> None:
    assert all_of("attributes swapped", "A small dog and a large cat") == {"A large dog and a small cat"}
    assert all_of("attributes swapped", "A red car near an orange bus") == {"An orange car near a red bus"}
    assert all_of("attributes swapped", "A black and white dog") == {None}
    assert all_of("attributes swapped", "A red car and a red bus") == {None}
    assert all_of("attributes swapped", "A big car and a large bus") == {None}, "means the same"
    assert all_of("objects swapped", "A man riding a horse.") == {"A horse riding a man."}
    assert all_of("objects swapped", "Umbrella on a dog") == {"Dog on an umbrella"}
    assert all_of("objects swapped", "A dog and a car") == {None}, "means the same"
    assert all_of("objects swapped", "Two men riding a horse") == {None}, "numbers would not agree"


def test_word_salad() -> None:
    found = all_of("word salad", "A red bus drives by.")
    assert all(sorted(str(text)[:-1].split()) == sorted(["A", "red", "bus", "drives", "by"]) for text in found)
    assert "A red bus drives by." not in found
    assert all_of("word salad", "A a a A.") == {None}
    assert all_of("word salad", "Three short words") == {None}


def test_hacks_apply_to_every_caption() -> None:
    for caption in ("A dog.", "dog", "!", "A dog runs over the wide green field", "naïve 🙂", "."):
        for name, change in HACKS.items():
            text = change(Told(caption), random.Random(0))
            assert isinstance(text, str), name
            assert text != caption, name
    told = Told("A dog runs fast.", (), ("A red bus.", "A red car and a bus.", "The bus."))
    said = {name: change(told, random.Random(0)) for name, change in HACKS.items()}
    assert said["empty"] == ""
    assert said["said twice"] == "A dog runs fast. A dog runs fast."
    assert said["repeated end"] == "A dog runs fast dog runs fast dog runs fast dog runs fast."
    assert said["repeated words"] == "A A dog dog runs runs fast fast."
    assert said["keywords"] == "A picture of bus, red, car."
    assert said["end token"].startswith("A dog runs fast. <end_of_text> ")
    assert len(said["over-long"].split()) >= 200


def test_lengthened() -> None:
    assert lengthened("A dog.", 0) == "A dog."
    assert len(lengthened("A dog.", 1).split()) == 2 + 16
    assert 2 + 100 <= len(lengthened("A dog.", 100).split()) < 2 + 116


def test_the_same_seed_makes_the_same_mutants() -> None:
    told = Told("Two red cars next to a small blue bus on the street.", (), ("A cat.",))
    for change in (*FACTS.values(), *HACKS.values()):
        assert change(told, random.Random(3)) == change(told, random.Random(3))


def test_exact_mutants_of_pocket_scenes() -> None:
    tried: Counter[str] = Counter()
    for example in load_pocket("train", 80):
        assert example.scene is not None
        true = write(example.scene, random.Random(example.id))
        for name, text in exact(example.scene, example.id).items():
            tried[name] += 1
            assert read(text) is not None, "a sentence of the grammar"
            assert not says(text, example.scene)
            if name != "background":  # which is not mentioned where it is white
                assert abs(len(text.split()) - len(true.split())) <= 4
    assert set(tried) == set(MUTATIONS)


def test_text_mutants_of_pocket_captions_are_never_true() -> None:
    tried: Counter[str] = Counter()
    for number, example in enumerate(load_pocket("train", 150)):
        assert example.scene is not None
        told = Told(example.captions[0], example.captions[1:])
        for name, change in FACTS.items():
            text = change(told, random.Random(number))
            if text is not None:
                tried[name] += 1
                assert not says(text, example.scene), f"{name}: {told.caption} -> {text}"
    assert set(tried) == set(FACTS)


def test_captions_of_photographs(shared: Path) -> None:
    content = json.loads((shared / "data/coco_mini/captions_train2017.json").read_text("utf-8"))
    captions: dict[int, list[str]] = {}
    for row in content["annotations"]:
        captions.setdefault(row["image_id"], []).append(row["caption"].strip())
    applied: Counter[str] = Counter()
    for several in captions.values():
        for own, caption in enumerate(several):
            told = Told(caption, tuple(several[:own] + several[own + 1 :]))
            for name, change in FACTS.items():
                text = change(told, random.Random(own))
                if text is None:
                    continue
                applied[name] += 1
                assert text != caption
                if name not in ("word salad", "relation", "count"):
                    assert len(text.split()) == len(caption.split()), (caption, text)
                if name != "word salad":
                    assert not re.search(r"\ba an?\b|\ban [bcdfgjklmnpqrstvwxyz]", text), (caption, text)
                if name in ("colour", "object"):
                    put_in = set(text.lower().split()) - set(caption.lower().split()) - {"a", "an"}
                    assert not put_in & set(" ".join(told.said).lower().split()), (told, text)
    print(dict(applied))
    assert applied["word salad"] > 380
    assert applied["object"] > 250
    assert applied["relation"] > 150
    assert min(applied[name] for name in FACTS) >= 10
