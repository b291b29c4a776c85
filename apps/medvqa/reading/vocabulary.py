"""The small vocabulary that every data set's own labels are mapped onto, and what is inferred where labels are absent.

A map returns an empty text for what it does not know, so that nothing is guessed silently.
"""

from __future__ import annotations

import re

from common.rewards.functional import normalise

#: What a question asks for. `zone`: where, `side`: left or right, `knowledge`: what no picture shows (SLAKE's KG).
QUESTION_TYPES = (
    *("presence", "side", "zone", "size", "count", "modality", "organ", "plane"),
    *("abnormality", "attribute", "knowledge", "other"),
)
MODALITIES = (
    *("xray", "ct", "mri", "ultrasound", "mammography", "angiography", "fluoroscopy", "nuclear", "pathology"),
    *("endoscopy", "dermoscopy", "fundus", "oct", "colposcopy", "infrared", "photograph"),
)
ORGANS = (
    *("head", "neck", "chest", "breast", "abdomen", "pelvis", "urogenital", "spine", "bone", "vessels", "skin", "eye"),
)

#: The usual splits, in order.
SPLITS = ("train", "validation", "test")
#: Names of splits as the data sets write them.
_SPLIT_NAMES = {
    **dict.fromkeys(("train", "training", "trainset"), "train"),
    **dict.fromkeys(("validation", "validate", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "testset"), "test"),
}

#: Labels of VQA-RAD (its misspelt ones too), SLAKE, VQA-Med and OmniMedVQA, letters only.
_TYPES = {
    **dict.fromkeys(("pres", "prse", "presence"), "presence"),
    **dict.fromkeys(("pos", "position", "location", "zone"), "zone"),
    **dict.fromkeys(("side", "laterality"), "side"),
    **dict.fromkeys(("size",), "size"),
    **dict.fromkeys(("count", "counting", "quantity"), "count"),
    **dict.fromkeys(("modality", "modalityrecognition"), "modality"),
    **dict.fromkeys(("organ", "organsystem", "anatomyidentification"), "organ"),
    **dict.fromkeys(("plane",), "plane"),
    **dict.fromkeys(("abn", "abnormality", "diseasediagnosis"), "abnormality"),
    **dict.fromkeys(("attrib", "atrib", "attribute", "color", "colour", "shape"), "attribute"),
    **dict.fromkeys(("lesiongrading", "otherbiologicalattributes"), "attribute"),
    **dict.fromkeys(("kg", "knowledge"), "knowledge"),
    **dict.fromkeys(("other",), "other"),
}

#: The first that fits; Chinese as SLAKE writes it.
_MODALITY_WORDS = (
    ("oct", r"\boct\b|optical coherence"),
    ("mammography", r"\bmammo"),
    ("ultrasound", r"\bultraso|\bsonogra|\bdoppler\b|\bechocardio|超声"),
    ("nuclear", r"\bpet\b|\bspect\b|\bnuclear\b|\bpositron|\bscintigra|\bbone scan"),
    (
        "mri",
        r"\bm\W?r\W?i\b|\bmra?\b|\bmagnetic resonance|\bflair\b|\bt[12](w|\b)|\bdwi\b|\badc\b|\bdiffusion|核磁共振",
    ),
    ("ct", r"\bcta?\b|\bcomputed tomogra|\bcat scan|\btomogra"),
    ("angiography", r"\b(angio|veno|arterio)gra|\bdsa\b"),
    ("fluoroscopy", r"\bfluoro|\bbarium|\bupper gi\b|\bugi\b|\bsbft\b|\bsmall bowel follow|\benema|\bswallow"),
    ("xray", r"\bx\W?rays?\b|\bcxr\b|\bxr\b|\bradiogra|\bplain film|X\W?光"),
    ("pathology", r"\bpatholog|\bhistolog|\bhistopatholog|\bcytolog|\bmicroscop|\bh&e\b"),
    ("endoscopy", r"\bendoscop|\bcolonoscop|\bgastroscop|\blaparoscop|\bbronchoscop"),
    ("dermoscopy", r"\bdermoscop|\bdermatoscop"),
    ("fundus", r"\bfundus"),
    ("colposcopy", r"\bcolposcop"),
    ("infrared", r"\binfrared"),
    ("photograph", r"\bphotograph"),
)
_ORGAN_WORDS = (
    ("breast", r"\bbreasts?\b"),
    ("spine", r"\bspin(e|al)\b|\bvertebra"),
    ("head", r"\bhead\b|\bbrain|\bskull\b|\bface\b|\bsinus|\bcerebr|\bcrani"),
    ("neck", r"\bneck\b|\bthyroid|\blaryn"),
    ("chest", r"\bchest|\blungs?\b|\bheart\b|\bmediastin|\bpleura|\bthora|\bcardi|\bpulmon"),
    ("abdomen", r"\babd(omen|ominal)?\b|\bgastro|\bliver\b|\bspleen\b|\bpancrea|\bgallbladder\b|\bbowel|\bcolon\b"),
    ("urogenital", r"\bgenitourin|\burogenital|\bkidney|\bbladder\b|\bprostat|\buter(us|ine)\b|\bovar"),
    ("pelvis", r"\bpelvi"),
    ("vessels", r"\bvascular|\blymphatic|\bvessel|\baorta\b|\bartery\b"),
    ("bone", r"\bmusculoskeletal|\bbones?\b|\bskelet|\bextremit|\bjoint"),
    ("skin", r"\bskin\b"),
    ("eye", r"\beyes?\b|\bretina|\bfundus"),
)

_YES_NO = frozenset(
    [
        *("yes", "no", "true", "false", "是", "是的", "否", "不是", "有", "没有", "存在", "不存在", "包含", "不包含"),
        *("包括", "不包括", "可以", "不可以", "能", "不能", "会", "不会", "对", "不对"),
    ]
)
_SIDE_WORDS = frozenset(
    [
        *("left", "right", "both", "side", "sides", "bilateral", "bilaterally", "the", "on", "l", "r"),
        *("左", "右", "侧", "边", "双", "两"),
    ]
)
_ASKS_SIDE = re.compile(r"\b(which|what) side|\bleft or right|\bright or left|\blaterality|左侧还是右侧|哪一?[侧边]")

#: The first that fits the question; used only where a data set has no types, which are all English.
_QUESTION_WORDS = (
    ("count", r"\bhow many\b|\bnumber of\b"),
    ("modality", r"\bmodalit|\bimaging (method|technique|type)|\bkind of (scan|image)|\bweighted\b|\bcontrast\b"),
    ("plane", r"\bplane\b|\b(axial|sagittal|coronal)\b"),
    ("side", _ASKS_SIDE.pattern),
    ("size", r"\bhow (big|large|wide|long|tall)\b|\bsize\b|\benlarged\b|\bdiameter\b|\b(bigg|larg|small)e(r|st)\b"),
    ("organ", r"\b(which|what)( is the)? organ\b|\borgan systems?\b|\bbody part\b|\bpart of the body\b"),
    ("zone", r"^(in )?where\b|\blocat(ed|ion)\b|\b(which|what) (lobe|region|part|area|quadrant|zone)"),
    ("abnormality", r"\babnormal|\bdiagnos|\bdisease\b|\bpatholog|\bwrong\b|\balarming\b"),
    ("attribute", r"\bcolou?r\b|\bshape\b|\bdensity\b|\bintensity\b|\bstain"),
    ("presence", r"^(is|are|was|were|do|does|did|has|have|had|can)\b|\bpresent\b|\bevidence of\b"),
)


def split_name(name: str) -> str:
    """`train`, `validation` or `test` for the ways in which data sets write them; other names as they are."""
    return _SPLIT_NAMES.get(name.strip().lower(), name.strip())


def modality_of(text: str) -> str:
    """The modality that a label or a short answer names, of `MODALITIES`, or empty."""
    return _first(_MODALITY_WORDS, text)


def organ_of(text: str) -> str:
    """The region that a label names, of `ORGANS`, or empty."""
    return _first(_ORGAN_WORDS, text.replace("_", " "))


def question_type_of(label: str, question: str = "", answer: str = "") -> str:
    """The type that a data set's own label stands for, of `QUESTION_TYPES`, or empty.

    Of several labels (`PRES, ATTRIB`) the first known one counts. A question for a position is one for a `side` where
    it asks for the side or the answer says nothing else, and for a `zone` otherwise.
    """
    for part in label.split(","):
        found = _TYPES.get(re.sub(r"[^a-z]", "", part.lower()), "")
        if found:
            return "side" if found == "zone" and _about_side(question, answer) else found
    return ""


def infer_question_type(question: str, answer: str = "") -> str:
    """The type that a question's words speak of; `other` where none fits. For data sets without types."""
    found = _first(_QUESTION_WORDS, question.lower())
    return "side" if found == "zone" and _about_side(question, answer) else found or "other"


def typed(label: str, question: str, answer: str = "") -> tuple[str, dict[str, str]]:
    """The type that a label stands for, else the one that the question's words speak of, with a tag that says so.

    Inferred types agree with the labels of 62 % of VQA-RAD's 2,248 questions and of 47 % of SLAKE's 7,032 English
    ones, whose `organ` questions mostly ask for presence; so figures by type are comparable within a data set only.
    """
    known = question_type_of(label, question, answer)
    return (known, {}) if known else (infer_question_type(question, answer), {"inferred": "question_type"})


def kind_of(label: str, question: str, answer: str, choices: tuple[str, ...] = ()) -> str:
    """`closed` or `open`: as the data set says, else inferred.

    Inferred as closed are questions with choices, with an answer that is yes or no, and questions that name their
    answers themselves (`is this a t1 weighted or a t2 weighted image?`).
    """
    label = label.strip().lower()
    if label.startswith(("clos", "open")):
        return "open" if label.startswith("open") else "closed"
    return "closed" if choices or is_yes_no(answer) or _names_answer(question, answer) else "open"


def is_yes_no(answer: str) -> bool:
    """Whether an answer is yes or no and nothing else, in English or as SLAKE's Chinese questions have it."""
    return normalise(answer) in _YES_NO


def _names_answer(question: str, answer: str) -> bool:
    asked, words = normalise(question).split(), normalise(answer).split()
    return bool(words) and "or" in asked and set(words) <= set(asked)


def _about_side(question: str, answer: str) -> bool:
    words = normalise(answer).split() if answer.isascii() else list(normalise(answer).replace(" ", ""))
    sided = bool(words) and set(words) <= _SIDE_WORDS
    return sided or bool(_ASKS_SIDE.search(question.lower()))


def _first(words: tuple[tuple[str, str], ...], text: str) -> str:
    return next((name for name, pattern in words if re.search(pattern, text, re.IGNORECASE)), "")
