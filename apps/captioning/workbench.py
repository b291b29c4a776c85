"""What the demo does, without a browser: scenes and uploads, captions, rewards, and the attention behind them."""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from apps.captioning.train_config import RewardConfig
from common.errors import DataError, UsageError
from common.uploads import take_upload

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from apps.captioning.assistant import CaptionAssistant
    from apps.captioning.beam import NBest
    from apps.captioning.pocket.scene import Scene
    from common.models.clip import Clip

LARGEST_UPLOAD = 20_000_000  # bytes
MOST_PIXELS = 50_000_000
LONGEST_TEXT = 500
LONGEST_CAPTION = 1_000
NEIGHBOURS = 8
LISTED = 50
INITIAL, TRAINED = "initialisation", "trained"


@dataclass(frozen=True)
class Paid:
    """What a caption earns, as training pays it.

    Attributes:
        clip_cos: 0 to 100.
        clip_agg: -100 to 100.
    """

    clip_cos: float
    clip_agg: float


@dataclass(frozen=True)
class Attention:
    """What a picture attends to in the corpus: the weights behind CLIP-agg's target.

    Attributes:
        sentences: text, weight and cosine of the ones with the largest weights, largest first.
        rest: weight of all the others together.
        others: how many they are.
    """

    sentences: tuple[tuple[str, float, float], ...]
    rest: float
    others: int


class Workbench:
    """Shows pictures to captioners and captions to the rewards.

    Args:
        assistants: by name; the ones called `INITIAL` and `TRAINED` are shown side by side.
        clip: the CLIP that they share, and that pays.
        corpus: `(N,)` sentences.
        features: `(N, D)` their features.
        reward: settings of the two rewards.
        pocket: whether the models know drawn shapes only, which an uploader should be told.
    """

    def __init__(
        self,
        assistants: Mapping[str, CaptionAssistant],
        clip: Clip,
        corpus: Sequence[str],
        features: Tensor,
        reward: RewardConfig | None = None,
        pocket: bool = True,
    ) -> None:
        self.assistants = dict(assistants)
        self.clip = clip
        self.corpus = corpus
        self.features = features
        self.reward = reward or RewardConfig()
        self.pocket = pocket
        # Browsers ask at the same time; models on few cores serve one at a time.
        self._lock = threading.Lock()

    def random_scene(self, held: bool = False) -> tuple[Scene, str]:
        """A scene nobody has drawn and a sentence that tells it.

        Args:
            held: show a colour and kind that no training picture shows together.
        """
        from apps.captioning.pocket.grammar import write
        from apps.captioning.pocket.scene import sample_scene

        rng = random.Random()
        scene = sample_scene(rng, True if held else None)
        return scene, write(scene, rng)

    def sentences(self, number: int = 5) -> list[str]:
        """Sentences to try: always the same, from one object to two groups with a held-out pair on a background."""
        from apps.captioning.pocket.grammar import write
        from apps.captioning.pocket.scene import sample_scene

        rng = random.Random(2)
        told = [(scene, write(scene, rng)) for scene in (sample_scene(rng) for _ in range(80 * number))]
        # Longer ones would be cut where they are listed.
        short = [(scene, text) for scene, text in told if len(text) <= LISTED]
        short.sort(key=lambda entry: (len(entry[0].groups), entry[0].held, entry[0].background, len(entry[1])))
        return [text for _, text in short[len(short) // number // 2 :: len(short) // number][:number]]

    def scene_of(self, sentence: str) -> Scene:
        """The scene that a sentence tells, to be drawn in a new way each time.

        Raises:
            UsageError: the sentence is empty, too long, or none of the pocket grammar.
        """
        from apps.captioning.pocket.grammar import read

        if not sentence.strip():
            raise UsageError("write a sentence first")
        scene = read(sentence) if len(sentence) <= LONGEST_TEXT else None
        if scene is None:
            raise UsageError(
                "that is no sentence of the pocket grammar; say colour and shape, where needed with number, size, "
                "pattern and place, as in the sentences below"
            )
        return replace(scene, seed=random.getrandbits(32))

    def see(self, picture: Image) -> Tensor:
        """`(1, D)` feature of a picture."""
        assistant = next(iter(self.assistants.values()))
        with self._lock:
            return assistant.see([assistant.prepare(picture)])

    def captions(self, seen: Tensor, beam: int) -> dict[str, NBest]:
        """Every assistant's captions of one picture seen."""
        with self._lock:
            return {name: assistant.caption(seen, beam)[0] for name, assistant in self.assistants.items()}

    def pay(self, seen: Tensor, captions: Sequence[str], temperature: float) -> list[Paid]:
        """What each caption of one picture seen earns.

        Args:
            seen: `(1, D)`.
            captions: texts; an empty one earns the least.
            temperature: of the attention over the corpus.
        """
        from apps.captioning.rewards import ClipAgg, ClipCos

        if not captions:
            return []
        columns = {"completion": list(captions), "images": seen.expand(len(captions), -1)}
        rewards = (
            ClipCos(self.clip),
            ClipAgg(self.clip, self.features, temperature, self.reward.cos_weight, self.reward.top_k),
        )
        with self._lock:
            cosines, targets = (reward(**columns).values.tolist() for reward in rewards)
        return [Paid(*row) for row in zip(cosines, targets, strict=True)]

    def attend(self, seen: Tensor, temperature: float, shown: int = NEIGHBOURS) -> Attention:
        """The corpus' sentences that one picture seen attends to, under the softmax over all of them."""
        import torch

        cosines = torch.as_tensor(self.features) @ seen[0].to(torch.float32)
        weights = torch.softmax(temperature * cosines.double(), 0)
        best, rows = weights.topk(min(shown, len(weights)))
        sentences = tuple(
            (self.corpus[row], weight, float(cosines[row]))
            for row, weight in zip(rows.tolist(), best.tolist(), strict=True)
        )
        return Attention(sentences, max(0.0, 1 - sum(best.tolist())), len(weights) - len(sentences))


def accept_upload(path: str | Path, folder: str | Path) -> Image:
    """An uploaded picture, decoded; its file is removed, whatever becomes of it.

    Args:
        path: the file.
        folder: where uploads lie; nothing outside it is read or removed.

    Raises:
        UsageError: the file lies elsewhere.
        DataError: too many bytes or pixels, or no picture. The message names the file as the visitor does, not where
            it lies here.
    """
    from common.pictures import load_picture, pixels_of, why

    name, source = take_upload(path, folder, LARGEST_UPLOAD)
    try:
        # The size stands in the header: a picture that would fill the memory is refused before it is decoded.
        if pixels_of(source) > MOST_PIXELS:
            raise DataError(f"more than {MOST_PIXELS // 1_000_000} million pixels")
        return load_picture(source)
    except DataError as error:
        raise DataError(why(error), path=name) from error


def initial_path(trained: Path) -> Path | None:
    """Where the captioner lies that a trained one was made from: beside a shipped one, or in its run's folder."""
    from apps.captioning.model import SHAPE

    places = (trained.with_name(f"{trained.name}-init"), trained.parent / "checkpoints" / "init" / "final")
    return next((place for place in places if (place / SHAPE).is_file()), None)
