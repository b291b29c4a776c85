"""What the audit of a caption reward measures, one function a figure; `audit` puts them together.

Every function takes a reward and the `Subjects`: pictures with a true caption each.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from apps.captioning.auditing.mutations import FACTS, HACKS, Told, exact, lengthened
from apps.captioning.data import Example
from common.errors import DataError
from common.rewards.audit import Mutant
from common.rewards.audit import measures as measure
from common.rewards.base import Reward, take_rows
from common.stats import Interval, auc, bootstrap, bootstrap_columns, spearman, wilson

if TYPE_CHECKING:
    from apps.captioning.features import Pictures
    from common.rewards.audit import AuditReport

Columns = dict[str, Any]
Change = Callable[[Mapping[str, Any]], Columns]

#: Words of filler after a true caption; CLIP reads 77 tokens.
PADDING = (16, 48, 96, 192, 400)
#: Captions of other pictures that a hack may draw from.
OTHERS = 200
BATCH = 64
#: Rows scored one at a time to see whether a batch matters.
ALONE = 32
#: Right wordings and wrong captions of each pocket scene.
RIGHT, WRONG = 3, 6


@dataclass(frozen=True)
class Subjects:
    """Pictures to audit with.

    Attributes:
        examples: `(N,)` the pictures.
        columns: `completion` (a true caption), `images` (features `(N, D)`) and `reference` (its other captions).
        told: `(N,)` the same for `mutations`.
        wordings: `(N,)` seeds of the true captions' wording, in the pocket world.
    """

    examples: Sequence[Example]
    columns: Columns
    told: Sequence[Told]
    wordings: Sequence[str]

    def __len__(self) -> int:
        return len(self.examples)

    def said(self, completions: Sequence[str], rows: Sequence[int] | None = None) -> Columns:
        """Columns in which the given rows (all of them) say something else."""
        places = range(len(self)) if rows is None else rows
        return {**take_rows(self.columns, places, len(self)), "completion": list(completions)}


@dataclass(frozen=True)
class SceneAgreement:
    """A reward against the exact scene.

    Attributes:
        pairwise: of the pairs of a right and a wrong caption of one picture, the share that the reward orders rightly;
            a tie counts half.
        auc: chance that a right caption of any picture scores above a wrong one of any picture.
    """

    pairwise: Interval
    auc: Interval


def subjects(pictures: Pictures, seed: int = 0) -> Subjects:
    """Pictures with captions, as an audit needs them; those without are left out.

    In the pocket world the true caption is written anew, so that mutants can be worded as it is; elsewhere it is the
    first one. The others are references.

    Raises:
        DataError: fewer than two pictures have a caption.
    """
    kept = [row for row, example in enumerate(pictures.examples) if any(text.strip() for text in example.captions)]
    if len(kept) < 2:
        raise DataError(
            f"an audit needs true captions of two pictures or more; {len(kept)} of {len(pictures.examples)} have one. "
            "Choose a format and a split of heldout that has captions"
        )
    examples = [pictures.examples[row] for row in kept]
    wordings = [f"audit/{seed}/{example.id}" for example in examples]
    captions, references = [], []
    for example, wording in zip(examples, wordings, strict=True):
        several = [text.strip() for text in example.captions if text.strip()]
        if example.scene is not None:
            from apps.captioning.pocket.grammar import write

            several = [write(example.scene, random.Random(wording)), *several]
        captions.append(several[0])
        references.append(several[1:])
    rng = random.Random(seed)
    told = []
    for row, (caption, said) in enumerate(zip(captions, references, strict=True)):
        near = rng.sample(range(len(captions)), min(len(captions), OTHERS + 1))
        told.append(Told(caption, tuple(said), tuple(captions[other] for other in near if other != row)[:OTHERS]))
    columns = {"completion": captions, "images": pictures.features[kept], "reference": references}
    return Subjects(examples, columns, told, wordings)


def mutants(those: Subjects, seed: int = 0) -> list[Mutant]:
    """True captions with something changed: facts of the scene in the pocket world, words elsewhere."""
    found = []
    for row, (example, told) in enumerate(zip(those.examples, those.told, strict=True)):
        tables = FACTS
        if example.scene is not None:
            texts = exact(example.scene, those.wordings[row])
            found += [Mutant(row, name, text) for name, text in texts.items()]
            tables = {"word salad": FACTS["word salad"]}
        for name, change in tables.items():
            text = change(told, random.Random(f"{seed}/{name}/{example.id}"))
            if text is not None:
                found.append(Mutant(row, name, text))
    return found


def controls(those: Subjects, seed: int = 0) -> dict[str, Change]:
    """What a policy falls into that is paid by a weak grader, and the caption of another picture, by name."""
    made: dict[str, list[str]] = {
        name: [
            change(told, random.Random(f"{seed}/{name}/{example.id}"))
            for example, told in zip(those.examples, those.told, strict=True)
        ]
        for name, change in HACKS.items()
        if name != "empty"  # which the general audit tries
    }
    return {name: _saying(texts) for name, texts in made.items()}


def kills(general: AuditReport, those: Subjects, hacks: Mapping[str, Change]) -> dict[str, measure.MutationResult]:
    """How often the true caption scores above what was made of it, by more than a ten-thousandth of the range.

    Mutants first, then the controls, each with its Wilson interval.
    """
    found = {one.operator: one for one in general.mutations}
    span = general.bounds[1] - general.bounds[0]
    rows = range(len(those))
    standard = {one.name: one.name for one in general.controls if one.name not in hacks}
    for name in sorted([*standard, *hacks]):
        texts = hacks[name](those.columns)["completion"] if name in hacks else [name] * len(those)
        scores = general.scores[name]
        found[name] = measure.mutation(name, general.scores["reference"], scores, texts, rows, span)
    return found


def together(results: Sequence[measure.MutationResult]) -> Interval:
    """The kill rate over several mutations."""
    known = [one.killed for one in results if one.killed.n]
    return wilson(sum(round(one.mean * one.n) for one in known), sum(one.n for one in known))


def length_slope(reward: Reward, those: Subjects) -> Interval:
    """Rank correlation of score and words among true captions of one picture: whether long or short wording pays.

    Scores and lengths are taken relative to the picture's mean, and each caption is compared with the others of its
    picture. NaN where no picture has two captions.
    """
    rows, texts, references = [], [], []
    for row, told in enumerate(those.told):
        several = list(dict.fromkeys((told.caption, *told.said)))
        if len(several) > 1:
            rows += [row] * len(several)
            texts += several
            references += [[other for other in several if other != text] for text in several]
    if not rows:
        return Interval(math.nan, math.nan, math.nan, 0)
    values = scores(reward, {**those.said(texts, rows), "reference": references})
    lengths = [float(len(text.split())) for text in texts]
    centred = [_centred(column, rows) for column in (values, lengths)]
    return bootstrap_columns(centred, spearman, n=measure.RESAMPLES, groups=rows)


def padding(reward: Reward, those: Subjects) -> dict[int, Interval]:
    """Mean change of the score by words of filler after the true caption, far past what CLIP reads.

    An entry whose `n` is less than the number of pictures could not be scored everywhere.
    """
    plain = scores(reward, those.columns)
    found = {}
    for words in PADDING:
        longer = scores(reward, those.said([lengthened(told.caption, words) for told in those.told]))
        found[words] = bootstrap([after - before for after, before in zip(longer, plain, strict=True)])
    return found


def batch_change(reward: Reward, those: Subjects) -> float:
    """Greatest change of a row's score with the rows beside it: in another order, in batches of 7, and alone.

    Infinite where a row can be scored in one batch and not in another.
    """
    size = min(len(those), 2 * BATCH)
    columns = take_rows(those.columns, range(size), len(those))
    whole = reward(**columns).values.tolist()
    order = list(range(size))
    random.Random(0).shuffle(order)
    turned = reward(**take_rows(columns, order, size)).values.tolist()
    sevens = scores(reward, columns, 7)
    alone = scores(reward, take_rows(columns, range(min(size, ALONE)), size), 1)
    pairs = [*((whole[row], value) for row, value in zip(order, turned, strict=True))]
    pairs += [*zip(whole, sevens, strict=True), *zip(whole, alone, strict=False)]
    return max(0.0 if _same_nan(one, two) else _gap(one, two) for one, two in pairs)


def agreement(reward: Reward, those: Subjects, seed: int = 0) -> SceneAgreement | None:
    """Reward against the exact scene, in the pocket world: right captions in other words, wrong ones in other words.

    Of each picture: three wordings of its facts, six scenes with one fact changed, and another picture's caption. None
    where pictures have no scene.
    """
    from apps.captioning.pocket.grammar import says, write
    from apps.captioning.pocket.mutations import mutate

    rows, texts, truth = [], [], []
    for row, example in enumerate(those.examples):
        scene = example.scene
        if scene is None:
            continue
        rng = random.Random(f"agreement/{seed}/{example.id}")
        several = [write(scene, rng) for _ in range(RIGHT)]
        several += [write(mutate(scene, rng), rng) for _ in range(WRONG)]
        several.append(rng.choice(those.told[row].others))
        rows += [row] * len(several)
        texts += several
        truth += [float(says(text, scene)) for text in several]
    if not rows:
        return None
    values = scores(reward, those.said(texts, rows))
    return SceneAgreement(
        measure.pairwise_accuracy(values, truth, rows, reward.bounds[1] - reward.bounds[0]),
        bootstrap_columns([values, truth], auc, n=measure.RESAMPLES, groups=rows),
    )


def cost(reward: Reward, those: Subjects) -> measure.Latency:
    """Seconds a caption in batches of 64, after a first round; what a picture's feature cost is not in it."""
    scores(reward, those.columns)
    seconds, sizes = [], []
    for start in range(0, len(those), BATCH):
        rows = range(start, min(start + BATCH, len(those)))
        batch = take_rows(those.columns, rows, len(those))
        began = time.perf_counter()
        reward(**batch)
        seconds.append(time.perf_counter() - began)
        sizes.append(len(rows))
    return measure.latency(seconds, sizes)


def scores(reward: Reward, columns: Columns, batch_size: int = BATCH) -> list[float]:
    """Values of all rows, scored in batches."""
    size = reward.batch_size(columns)
    values: list[float] = []
    for start in range(0, size, batch_size):
        rows = range(start, min(start + batch_size, size))
        values += reward(**take_rows(columns, rows, size)).values.tolist()
    return values


def _saying(texts: Sequence[str]) -> Change:
    return lambda columns: {**columns, "completion": list(texts)}


def _centred(values: Sequence[float], groups: Sequence[int]) -> list[float]:
    """Values minus the mean of their group's known ones."""
    members: dict[int, list[float]] = {}
    for value, group in zip(values, groups, strict=True):
        if not math.isnan(value):
            members.setdefault(group, []).append(value)
    means = {group: sum(several) / len(several) for group, several in members.items()}
    return [value - means.get(group, math.nan) for value, group in zip(values, groups, strict=True)]


def _same_nan(one: float, two: float) -> bool:
    return math.isnan(one) and math.isnan(two)


def _gap(one: float, two: float) -> float:
    return math.inf if math.isnan(one) or math.isnan(two) else abs(one - two)
