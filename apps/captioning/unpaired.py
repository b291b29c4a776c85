"""The unpaired guard: nobody trains on a picture's own captions, nor on anything that is held out.

Captions belong to the pictures that they came with. Which that was is known for captions read from a data set
(`Sentence.picture`), and not for a bare text file; the guard has a rule for each:

* **Known.** A sentence that came with a training picture is that picture's own caption, and one is too many. One that
  came with another picture, or with none, is not, even where it reads the same: people say the same of different
  pictures, and a grammar does so all the time. Such sentences are counted and reported (`coincident`), no more.
* **Not known.** Only the wording is evidence, and some overlap is chance. The guard therefore looks from the pictures'
  side: which share of their captions stands in the corpus, whatever the case and the punctuation, and which share of
  the pictures has all its captions there (`whole`; of those with two captions or more). In Flickr8k, with 4,000
  pictures against the captions of the 4,093 others, 0.6 % of the captions do and none of the pictures. The first may
  reach `allowed_overlap`, the second a fiftieth of it.

The same rules hold for held-out pictures. Pictures must not be shared either.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from apps.captioning.corpus import NO_PICTURE, Sentence, same_text
from apps.captioning.data import Example
from common.errors import DataError, UsageError

_NAMED = 3
_WHOLE = 50


@dataclass(frozen=True)
class Overlap:
    """How much of some pictures' captions stands in a corpus.

    Attributes:
        sentences: of the corpus.
        own: sentences known to have come with one of the pictures.
        coincident: sentences known to have come with others, or none, that read like a caption of one of these.
        captions: different captions of the pictures.
        found: those of them that stand among the sentences of unknown origin.
        pictures: pictures with two different captions or more.
        whole: those of them all of whose captions stand there.
        examples: some offending sentences, each with the id of its picture.
    """

    sentences: int
    own: int
    coincident: int
    captions: int
    found: int
    pictures: int
    whole: int
    examples: tuple[tuple[str, str], ...]

    @property
    def share(self) -> float:
        """Share of the captions that stand among the sentences of unknown origin, 0 to 1."""
        return self.found / self.captions if self.captions else 0.0

    @property
    def whole_share(self) -> float:
        """Share of the pictures all of whose captions stand there, 0 to 1."""
        return self.whole / self.pictures if self.pictures else 0.0

    def counts(self) -> dict[str, float]:
        """Figures for the report."""
        names = ("sentences", "own", "coincident", "captions", "found", "pictures", "whole")
        return {**{name: getattr(self, name) for name in names}, "share": self.share, "whole_share": self.whole_share}


def check_unpaired(
    pictures: Sequence[Example],
    corpus: Iterable[Sentence | str],
    heldout: Sequence[Example] = (),
    allowed_overlap: float = 0.05,
) -> dict[str, Overlap]:
    """Make sure that a corpus and pictures to train on are unpaired, and that both keep off the held-out pictures.

    Call it with the captions still in place; take them away (`without_captions`) afterwards.

    Args:
        pictures: to be trained on.
        corpus: to be trained on; bare texts are of unknown origin.
        heldout: pictures to be judged on.
        allowed_overlap: share of the pictures' captions that may stand among sentences of unknown origin, see above; 1
            allows all, and leaves the rule for known ones in force.

    Returns:
        The overlap with the captions of `train` and of `heldout`.

    Raises:
        DataError: they are paired; names the first offenders, how many there are, and the next step.
        UsageError: the share is not between 0 and 1.
    """
    if not 0 <= allowed_overlap <= 1:
        raise UsageError(f"allowed_overlap is a share between 0 and 1, not {allowed_overlap}")
    shared = shared_pictures(pictures, heldout)
    if shared:
        raise DataError(
            f"{len(shared)} pictures are both trained on and held out: {', '.join(shared[:_NAMED])}"
            f"{' ...' if len(shared) > _NAMED else ''}; choose another split for one of them"
        )
    sentences = [Sentence(own) if isinstance(own, str) else own for own in corpus]
    keyed = [(own, same_text(own.text)) for own in sentences]
    found = {"train": overlap(pictures, keyed), "heldout": overlap(heldout, keyed)}
    for name, whose in (("train", "pictures that are trained on"), ("heldout", "held-out pictures")):
        _refuse(found[name], whose, allowed_overlap)
    return found


def overlap(pictures: Sequence[Example], corpus: Sequence[tuple[Sentence, str]]) -> Overlap:
    """Measure the overlap of pictures' captions with a corpus; refuses nothing.

    Args:
        pictures: with their captions, where they have any.
        corpus: each sentence with its `same_text`.
    """
    own_captions = {picture.id: {same_text(caption) for caption in picture.captions} for picture in pictures}
    pictures_of: dict[str, str] = {}
    for picture, captions in own_captions.items():
        for caption in captions:
            pictures_of.setdefault(caption, picture)
    own: list[tuple[str, str]] = []
    wordings: dict[str, tuple[str, str]] = {}
    coincident = 0
    for sentence, key in corpus:
        if not sentence.picture:
            if key in pictures_of:
                wordings[key] = (sentence.text, pictures_of[key])
        elif sentence.picture != NO_PICTURE and _came_with(key, own_captions.get(sentence.picture)):
            own.append((sentence.text, sentence.picture))
        else:
            coincident += key in pictures_of
    several = [captions for captions in own_captions.values() if len(captions) > 1]
    return Overlap(
        sentences=len(corpus),
        own=len(own),
        coincident=coincident,
        captions=len(pictures_of),
        found=len(wordings),
        pictures=len(several),
        whole=sum(all(caption in wordings for caption in captions) for captions in several),
        examples=tuple([*own, *wordings.values()][:_NAMED]),
    )


def shared_pictures(one: Sequence[Example], other: Sequence[Example]) -> list[str]:
    """Ids of pictures that stand in both: one file, or one id with the same captions or the same file name and size.

    An id alone is no proof: data sets number their pictures from 0 on, each for itself.
    """
    files = {picture.image.resolve() for picture in one if picture.image is not None}
    known: Mapping[str, Example] = {picture.id: picture for picture in one}
    return [
        picture.id
        for picture in other
        if (picture.image is not None and picture.image.resolve() in files) or _same(picture, known.get(picture.id))
    ]


def split_unpaired(
    examples: Sequence[Example], seed: int = 0, share: float = 0.5
) -> tuple[list[Example], list[Sentence]]:
    """For In-UIC on one data set: the pictures of one part, and the captions of the other part's pictures.

    Args:
        examples: pictures with captions.
        seed: of the draw.
        share: of the pictures that go to the first part, between 0 and 1.

    Returns:
        The pictures to train on, captions still in place, and the corpus; both in the order of `examples`.

    Raises:
        UsageError: a part is empty.
        DataError: the second part has no captions.
    """
    count = round(len(examples) * share)
    if not 0 < count < len(examples):
        raise UsageError(
            f"{len(examples)} pictures cannot be split in two with the share {share}; both parts need some"
        )
    chosen = set(random.Random(seed).sample(range(len(examples)), count))
    pictures = [example for position, example in enumerate(examples) if position in chosen]
    others = [example for position, example in enumerate(examples) if position not in chosen]
    corpus = [Sentence(caption, example.id) for example in others for caption in example.captions]
    if not corpus:
        raise DataError("these pictures have no captions to make a corpus of; give a data set with captions")
    return pictures, corpus


def without_captions(examples: Iterable[Example]) -> list[Example]:
    """The same pictures without their captions, so that no trainer can look at them."""
    return [replace(example, captions=()) for example in examples]


def written_without_pictures(texts: Iterable[str]) -> list[Sentence]:
    """Mark sentences as known to belong to no picture, as a grammar's do: none of them can be a picture's own."""
    return [Sentence(text, NO_PICTURE) for text in texts]


def _came_with(key: str, captions: set[str] | None) -> bool:
    """Whether a sentence that names a picture as its own really came with this one, and not with a namesake's.

    It did where it is one of the captions or a part of one (`web` cuts sentences), or where these are not known.
    """
    if captions is None:
        return False
    return not captions or key in captions or any(f" {key} " in f" {caption} " for caption in captions)


def _same(picture: Example, other: Example | None) -> bool:
    if other is None:
        return False
    if picture.captions and picture.captions == other.captions:
        return True
    if picture.image is None or other.image is None or picture.image.name != other.image.name:
        return False
    return picture.image.stat().st_size == other.image.stat().st_size


def _refuse(found: Overlap, whose: str, allowed: float) -> None:
    named = "; ".join(f"{text!r} (picture {picture})" for text, picture in found.examples)
    cure = "prepare --corpus_out writes a corpus of other pictures' captions (in Python: split_unpaired)"
    if found.own:
        raise DataError(f"{found.own} of {found.sentences} corpus sentences are captions of {whose}: {named}; {cure}")
    if allowed < 1 and (found.share > allowed or found.whole_share > allowed / _WHOLE):
        raise DataError(
            f"the corpus does not say what pictures its sentences came with, and it holds {found.found} of the "
            f"{found.captions} captions of {whose} ({found.share:.1%}, allowed {allowed:.1%}) and all captions of "
            f"{found.whole} of these ({found.whole_share:.2%}, allowed {allowed / _WHOLE:.2%}): {named}; {cure}; "
            "where the overlap is chance, allow more (allowed_overlap)"
        )
