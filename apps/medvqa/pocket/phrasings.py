"""How each question may be asked. Every word of a held-out phrasing stands in some other question or answer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Phrasings:
    """The wordings of one question.

    Attributes:
        known: those that the splits use.
        held: those that only `rephrase` uses.
        kind: "closed" or "open".
        question_type: as `apps.medvqa.data.Example` has it.
        share: of all questions, in percent.
        about: whether it is about a finding, so that it can be asked of a held-out combination.
    """

    known: tuple[str, ...]
    held: tuple[str, ...]
    kind: str
    question_type: str
    share: float
    about: bool = True


#: {a}: "a nodule", {n}: "nodule", {the}: "the nodules", {is}: "are", {ns}: "nodules", {place}: "right lower zone",
#: {part}: "zone", {x} and {y}: choices, {X}: the first with a capital.
PHRASINGS: dict[str, Phrasings] = {
    "presence": Phrasings(
        ("Is there {a}?", "Is {a} seen?", "Does this image show {a}?", "Can you see {a}?"),
        ("Is {a} shown in this image?", "Is there {a} in this image?"),
        *("closed", "presence", 11),
    ),
    "absence": Phrasings(
        ("Is {a} absent?", "Is {a} absent here?"),
        ("Is {a} absent in this image?",),
        *("closed", "presence", 3),
    ),
    "presence at": Phrasings(
        ("Is there {a} in the {place}?", "Is {a} seen in the {place}?", "Does the {place} show {a}?"),
        ("Can you see {a} in the {place}?",),
        *("closed", "presence", 9),
    ),
    "normality": Phrasings(
        ("Is this image normal?", "Does this image look normal?"),
        ("Is this normal?",),
        *("closed", "abnormality", 3, False),
    ),
    "any": Phrasings(
        ("Is anything abnormal?", "Is there any abnormality?"),
        ("Is anything abnormal in this image?", "Can you see any abnormality?"),
        *("closed", "abnormality", 3, False),
    ),
    "which side": Phrasings(
        ("{Is} {the} on the {x} or on the {y}?", "{X} or {y}: which side {is} {the} on?"),
        ("Which side {is} {the} on, {x} or {y}?",),
        *("closed", "side", 4),
    ),
    "which kind": Phrasings(
        ("Is this {x} or {y}?", "Which is it, {x} or {y}?"),
        ("Does this image show {x} or {y}?",),
        *("closed", "abnormality", 3),
    ),
    "which size": Phrasings(
        ("Does {the} measure {x} or {y}?", "Which size is {the}, {x} or {y}?"),
        ("Is {the} {x} or {y}?",),
        *("closed", "size", 2),
    ),
    "shadow": Phrasings(
        ("Is there an acoustic shadow?", "Can you see an acoustic shadow?"),
        ("Is an acoustic shadow seen?",),
        *("closed", "attribute", 1.5),
    ),
    "shift": Phrasings(
        ("Is there midline shift?", "Is midline shift seen?"),
        ("Can you see midline shift?",),
        *("closed", "attribute", 1.5),
    ),
    "brightness": Phrasings(
        ("Is the lesion {x} or {y}?", "Does the lesion look {x} or {y}?"),
        ("Which is the lesion, {x} or {y}?",),
        *("closed", "attribute", 2),
    ),
    "abnormality": Phrasings(
        ("What is abnormal?", "What is the abnormality?", "What does this image show?", "What is wrong here?"),
        ("What abnormality is seen?", "What is abnormal in this image?"),
        *("open", "abnormality", 11),
    ),
    "side": Phrasings(
        ("Which side {is} {the} on?", "On which side {is} {the}?"),
        ("What side {is} {the} on?", "On which side {is} {the} seen?"),
        *("open", "side", 6),
    ),
    "zone": Phrasings(
        ("Which {part} {is} {the} in?", "In which {part} {is} {the}?"),
        ("What {part} {is} {the} in?", "In which {part} {is} {the} seen?"),
        *("open", "zone", 7),
    ),
    "location": Phrasings(
        ("Where {is} {the}?", "Where {is} {the} seen?", "What is the location of {the}?"),
        ("Where can you see {the}?",),
        *("open", "zone", 10),
    ),
    "size": Phrasings(
        ("How large {is} {the}?", "What is the size of {the}?", "What size {is} {the}?"),
        ("How large {is} {the} in this image?", "Which size {is} {the}?"),
        *("open", "size", 7),
    ),
    "count": Phrasings(
        ("How many {ns} are there?", "How many {ns} are seen?"),
        ("How many {ns} can you see?",),
        *("open", "count", 4),
    ),
    "modality": Phrasings(
        ("What modality is this?", "Which modality is shown?", "What kind of image is this?"),
        ("What modality is shown?", "Which kind of image is this?"),
        *("open", "modality", 2.5, False),
    ),
    "organ": Phrasings(
        ("What organ is shown?", "What organ is this?"),
        ("Which organ is shown?", "Which organ is this?"),
        *("open", "organ", 2.5, False),
    ),
    "description": Phrasings(
        ("Describe this image.", "Describe the abnormality."),
        ("Describe the abnormality in this image.",),
        *("open", "abnormality", 7),
    ),
    "any kind": Phrasings(
        ("Describe any {n}.", "What about {a}?"),
        ("Can you describe any {n}?",),
        *("open", "presence", 4),
    ),
}
