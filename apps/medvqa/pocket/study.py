"""A phantom study: the exact truth that a picture is drawn from and its questions are asked about."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

from apps.medvqa.pocket.catalogue import LARGEST, ORGANS, SIDES, SMALLEST, Kind, is_held, kind_of, places_of
from common.errors import UsageError

SIZE = 112  # pixels: what the pocket model sees


@dataclass(frozen=True)
class Finding:
    """One finding, or up to three alike beside each other.

    Attributes:
        kind: its name in the catalogue.
        side: the patient's "right" or "left"; "" where it has none.
        zone: one of the organ's zones; "" where it has none.
        size_mm: diameter of each; 0 where it is not measured.
        count: 1 to 3.
    """

    kind: str
    side: str = ""
    zone: str = ""
    size_mm: int = 0
    count: int = 1

    @property
    def place(self) -> str:
        """Side and zone in words, as in "right lower zone"; "" where it has neither."""
        return f"{self.side} {self.zone}".strip()


@dataclass(frozen=True)
class Study:
    """What one picture shows.

    Pictures follow the radiological convention: the patient's right is on the picture's left. A kidney picture shows
    one kidney, whose side its marker tells, its upper pole on the picture's left.

    Attributes:
        modality: "xray", "ct" or "ultrasound".
        organ: "chest", "head", "kidney", "gallbladder" or "leg".
        findings: none (a normal study), one or two.
        field_mm: width and height of the picture, in mm in the patient.
        side: which kidney is shown; "" for the other organs, which show both sides or have none.
        seed: of the anatomy, the places within a zone, contrast and noise.
    """

    modality: str
    organ: str
    findings: tuple[Finding, ...] = ()
    field_mm: float = 0.0
    side: str = ""
    seed: int = 0

    def spacing_mm(self, size: int = SIZE) -> float:
        """Width of one pixel in mm in the patient, in a picture `size` pixels wide."""
        return self.field_mm / size

    @property
    def normal(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings

    @property
    def held(self) -> bool:
        """Whether it shows a finding at a place where training never shows it."""
        return any(is_held(self.organ, one.kind, one.side, one.zone) for one in self.findings)

    def kind(self, finding: Finding) -> Kind:
        """What the catalogue says of a finding."""
        return kind_of(self.organ, finding.kind)

    def find(self, kind: str) -> Finding | None:
        """The finding of this kind; None where there is none."""
        return next((one for one in self.findings if one.kind == kind), None)


def make_study(organ: str, findings: tuple[Finding, ...] = (), *, side: str = "", seed: int = 0) -> Study:
    """A study of an organ, checked.

    Args:
        organ: a key of the catalogue.
        findings: what is wrong, if anything.
        side: which kidney; by default that of its first finding, or the right one.
        seed: of everything that has no name.

    Raises:
        UsageError: there is no such organ or finding, or it cannot be of this size, number or place.
    """
    if organ not in ORGANS:
        raise UsageError(f"the pocket world has no organ {organ!r}; it has {', '.join(ORGANS)}")
    for finding in findings:
        _check(organ, finding)
    if len({finding.kind for finding in findings}) < len(findings):
        raise UsageError("a study has one finding of a kind; say how many there are with `count`")
    spec = ORGANS[organ]
    if spec.view:
        side = side or (findings[0].side if findings else "right")
        if any(finding.side != side for finding in findings):
            raise UsageError(f"a {organ} picture shows one side; its findings are on another than {side!r}")
    elif side:
        raise UsageError(f"a {organ} picture shows both sides: give the side of the finding, not of the study")
    return Study(spec.modality, organ, findings, float(spec.field_mm), side, seed)


def phantom(
    finding: str = "",
    side: str = "",
    zone: str = "",
    size_mm: int = 0,
    count: int = 1,
    *,
    organ: str = "",
    seed: int = 0,
) -> Study:
    """A study with one finding, or a normal one; what is not given takes the first that fits.

    Args:
        finding: a kind in the catalogue; "" for a normal study.
        side: "right" or "left".
        zone: one of the organ's zones.
        size_mm: diameter in mm, one of the sizes that the kind comes in.
        count: how many.
        organ: needed for a normal study, and for a mass, which the head and the kidney can have; the chest and the
            head by default.
        seed: of the anatomy, the exact place, contrast and noise.

    Raises:
        UsageError: there is no such finding, or not there, not of this size or not in this number.
    """
    if not finding:
        return make_study(organ or "chest", side=side, seed=seed)
    organs = [name for name in ORGANS if (not organ or name == organ) and _has(name, finding)]
    if not organs:
        where = f" of the {organ}" if organ else ""
        raise UsageError(f"the pocket world has no finding {finding!r}{where}")
    kind = kind_of(organs[0], finding)
    places = [place for place in places_of(kind) if side in ("", place[0]) and zone in ("", place[1])]
    if not places:
        raise UsageError(f"{finding} cannot be at side {side!r}, zone {zone!r}; it can be at {_list(kind)}")
    sizes = kind.sizes if count == 1 or not kind.crowd else kind.crowd[min(count, LARGEST) - 2]
    chosen = size_mm or (sizes[len(sizes) // 2] if sizes else 0)
    return make_study(organs[0], (Finding(finding, *places[0], chosen, count),), seed=seed)


def to_json(study: Study) -> str:
    """One line of JSON; `from_json` reads it back."""
    return json.dumps(asdict(study), sort_keys=True)


def from_json(text: str) -> Study:
    """The study that `to_json` wrote."""
    raw: Mapping[str, object] = json.loads(text)
    findings = raw["findings"]
    assert isinstance(findings, list)
    study = Study(**{key: value for key, value in raw.items() if key != "findings"})  # type: ignore[arg-type]
    return replace(study, findings=tuple(Finding(**finding) for finding in findings))


def _has(organ: str, name: str) -> bool:
    try:
        kind_of(organ, name)
    except KeyError:
        return False
    return True


def _check(organ: str, finding: Finding) -> None:
    if not _has(organ, finding.kind):
        raise UsageError(f"the pocket world has no finding {finding.kind!r} of the {organ}")
    kind = kind_of(organ, finding.kind)
    if (finding.side, finding.zone) not in places_of(kind):
        raise UsageError(f"{kind.name} cannot be at {finding.place!r}; it can be at {_list(kind)}")
    if not SMALLEST <= finding.count <= (LARGEST if kind.crowd else 1):
        raise UsageError(f"there cannot be {finding.count} of {kind.name}; {'1 to 3' if kind.crowd else 'only 1'}")
    sizes = kind.sizes if finding.count == 1 or not kind.crowd else kind.crowd[finding.count - 2]
    if finding.size_mm not in (sizes or (0,)):
        known = ", ".join(map(str, sizes)) or "no size"
        raise UsageError(f"{finding.count} {kind.name}: no such size, {finding.size_mm} mm; it comes in {known} mm")


def _list(kind: Kind) -> str:
    return ", ".join(f"{side} {zone}".strip() for side, zone in places_of(kind)) or f"no side ({', '.join(SIDES)})"
