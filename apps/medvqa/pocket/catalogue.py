"""What the pocket world knows: organs with their zones, findings with their sizes, and which of them go together."""

from __future__ import annotations

from dataclasses import dataclass

#: Stands in every example's tags, in every picture's info and, as PHANTOM, in the pixels themselves.
LABEL = "phantom — not for clinical use"

SIDES = ("right", "left")
SMALLEST, LARGEST = 1, 3


@dataclass(frozen=True)
class Kind:
    """One kind of finding in one organ.

    Attributes:
        organ: whose; a key of `ORGANS`.
        name: as answers say it, singular ("pleural effusion").
        sign: what is seen, singular, without article ("round white spot"); the annotations' reasons begin with it.
        place: "zone" (it lies in one of the organ's zones), "side" (it takes up a side) or "" (neither).
        sizes: mm, the diameters it may have; empty: it is not measured.
        crowd: mm, the sizes it may have where there are two of it, and where there are three; empty: it comes alone.
        mass_noun: no "a" before the name ("consolidation").
        bright: brighter than what is around it, where a question about that makes sense; else None.
    """

    organ: str
    name: str
    sign: str
    place: str = "zone"
    sizes: tuple[int, ...] = ()
    crowd: tuple[tuple[int, ...], ...] = ()
    mass_noun: bool = False
    bright: bool | None = None


@dataclass(frozen=True)
class Organ:
    """What one kind of study shows.

    Attributes:
        name: as answers say it.
        modality: "xray", "ct" or "ultrasound".
        field_mm: width and height of the picture, in mm in the patient.
        zones: as answers say them, from the top of the picture to its bottom or from its left to its right.
        part: what one of the zones is called in a question.
        sides: whether its zones are on a side.
        view: whether a picture shows one side only, told by its marker.
        sign: what it is known by.
    """

    name: str
    modality: str
    field_mm: int
    zones: tuple[str, ...]
    part: str
    sign: str
    sides: bool = True
    view: bool = False


#: Modality: as answers say it.
MODALITIES = {"xray": "x-ray", "ct": "CT", "ultrasound": "ultrasound"}

ORGANS = {
    organ.name: organ
    for organ in (
        Organ("chest", "xray", 320, ("upper zone", "middle zone", "lower zone"), "zone", "ribs, lungs and heart"),
        Organ(
            "head", "ct", 224, ("frontal lobe", "temporal lobe", "occipital lobe"), "lobe", "a skull with its brain"
        ),
        Organ(
            "kidney",
            "ultrasound",
            150,
            ("upper pole", "mid pole", "lower pole"),
            "pole",
            "a grey fan with a kidney",
            view=True,
        ),
        Organ(
            "gallbladder",
            "ultrasound",
            150,
            ("gallbladder neck", "gallbladder body", "gallbladder fundus"),
            "part",
            "a grey fan with a gallbladder",
            sides=False,
        ),
        Organ("leg", "xray", 224, ("proximal third", "middle third", "distal third"), "third", "two knees and shins"),
    )
}

_STONE = (5, 10, 15, 20)
_STONES = ((5, 10), (5, 10))

KINDS = (
    Kind("chest", "nodule", "round white spot", sizes=(15, 20, 25, 30), crowd=((15, 20), (15, 20)), bright=True),
    Kind("chest", "consolidation", "hazy white area", mass_noun=True),
    Kind("chest", "cavity", "white ring with a dark centre", sizes=(30, 40, 50, 60)),
    Kind("chest", "pleural effusion", "white base with a curved top", place="side"),
    Kind("chest", "pneumothorax", "dark rim outside a thin line", place="side"),
    Kind("chest", "cardiomegaly", "wide heart", place="", mass_noun=True),
    Kind("head", "haemorrhage", "bright area", sizes=(10, 20, 30, 40), bright=True),
    Kind("head", "infarct", "dark area", sizes=(10, 20, 30, 40), bright=False),
    Kind("head", "mass", "bright ring in a dark halo", sizes=(10, 20, 30, 40)),
    Kind("head", "subdural haematoma", "bright rim under the skull", place="side", bright=True),
    Kind("head", "hydrocephalus", "wide ventricles", place="", mass_noun=True),
    Kind("kidney", "kidney stone", "bright spot with a shadow", sizes=_STONE, crowd=_STONES, bright=True),
    Kind("kidney", "cyst", "black round area", sizes=(10, 20, 30, 40), bright=False),
    Kind("kidney", "mass", "grey round area", sizes=(10, 20, 30, 40)),
    Kind("kidney", "hydronephrosis", "black centre of the kidney", place="side", mass_noun=True),
    Kind("gallbladder", "gallstone", "bright spot with a shadow", sizes=_STONE, crowd=_STONES, bright=True),
    Kind("gallbladder", "polyp", "grey spot without a shadow", sizes=_STONE),
    Kind("gallbladder", "wall thickening", "thick wall", place="", mass_noun=True),
    Kind("leg", "fracture", "dark line across the bone"),
    Kind(
        "leg", "lytic lesion", "dark hole in the bone", sizes=(10, 15, 20, 25), crowd=((10, 15), (10,)), bright=False
    ),
    Kind("leg", "sclerotic lesion", "white spot in the bone", sizes=(10, 15, 20, 25), bright=True),
    Kind("leg", "dislocation", "bones out of line", place="side"),
)

_BY_NAME = {(kind.organ, kind.name): kind for kind in KINDS}


def kind_of(organ: str, name: str) -> Kind:
    """The kind of this name in this organ.

    Raises:
        KeyError: the organ has no such finding.
    """
    return _BY_NAME[organ, name]


def kinds_of(organ: str) -> list[Kind]:
    """All kinds of finding in an organ."""
    return [kind for kind in KINDS if kind.organ == organ]


def places_of(kind: Kind) -> list[tuple[str, str]]:
    """Every side and zone that a kind can have, "" where it has none."""
    organ = ORGANS[kind.organ]
    if not kind.place:
        return [("", "")]
    sides = SIDES if organ.sides else ("",)
    zones = organ.zones if kind.place == "zone" else ("",)
    return [(side, zone) for side in sides for zone in zones]


def _held() -> frozenset[tuple[str, str, str, str]]:
    # One zone on each side, never the same one, and other ones for every kind: what training has never shown together
    # it has shown apart, the kind elsewhere and the place with other kinds.
    held = []
    for number, kind in enumerate(one for one in KINDS if one.place == "zone"):
        zones = ORGANS[kind.organ].zones
        if not ORGANS[kind.organ].sides:
            held.append((kind.organ, kind.name, "", zones[number % 3]))
            continue
        held.append((kind.organ, kind.name, "right", zones[number % 3]))
        held.append((kind.organ, kind.name, "left", zones[(number + 1 + number // 3 % 2) % 3]))
    return frozenset(held)


#: Organ, kind, side and zone that no picture of the training splits shows.
HELD_OUT = _held()


def is_held(organ: str, name: str, side: str, zone: str) -> bool:
    """Whether training never shows this kind at this place."""
    return (organ, name, side, zone) in HELD_OUT
