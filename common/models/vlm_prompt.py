"""What goes into a Qwen-VL: conversations about pictures as token ids, with the pictures' patches beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor

from common.errors import MissingDependency, UsageError
from common.pictures import WHITE, Colour, Source, load_any

if TYPE_CHECKING:
    from PIL.Image import Image

    from common.models.vlm_input import Preprocess
    from common.windowing import Window


@dataclass(frozen=True, eq=False)
class Patches:
    """A picture that is ready for the model.

    Attributes:
        pixels: `(N, D)`, see `Preprocess`.
        grid: patches in time, height and width.
    """

    pixels: Tensor
    grid: tuple[int, int, int]


#: A file, its bytes, a Pillow picture, a tensor `(3, H, W)` in [0, 1], or what was made of one of these before.
Picture = Source | Tensor | Patches
#: Those of several questions: `(B, 3, H, W)`, `(B, views, 3, H, W)`, or for each question one or several.
Pictures = Tensor | Sequence[Picture | Sequence[Picture]]


@dataclass(frozen=True, eq=False)
class VisualPrompt:
    """A conversation that a model is to go on with, about none, one or several pictures.

    Attributes:
        messages: each with `role` and `content`, a text or a list of parts (`{"type": "text", "text": …}`,
            `{"type": "image"}`). Where no part is an image, the pictures stand before the first user's text, as trl
            puts them.
        pictures: in the order in which they stand in the conversation.
    """

    messages: Sequence[Mapping[str, Any]]
    pictures: Sequence[Picture] = ()


def ask(question: str, pictures: Sequence[Picture] = (), system: str | None = None) -> VisualPrompt:
    """The prompt for a question about pictures, after a system message where one is given."""
    asked = {"role": "user", "content": question}
    return VisualPrompt([{"role": "system", "content": system}, asked] if system else [asked], tuple(pictures))


@dataclass(frozen=True, eq=False)
class Encoded:
    """A prompt as the model takes it: token ids, one for each image token too, and the patches of its pictures."""

    ids: list[int]
    patches: list[Patches]

    def __len__(self) -> int:
        return len(self.ids)

    def then(self, ids: Sequence[int]) -> Encoded:
        """The same with more tokens at its end."""
        return Encoded([*self.ids, *ids], self.patches)


class PromptReader:
    """Makes token ids and patches from prompts.

    Special tokens written in a text are plain text: a space is put behind their first character, so that a question
    cannot end its turn or ask for a picture that is not there.

    Args:
        processor: a Qwen-VL processor; its chat template and tokenizer are used, not its padding.
        preprocess: what makes patches.
        background: what shows through transparent pixels of picture files.
        window: how picture files of more than 8 bits are shown; see `load_any`.
    """

    def __init__(
        self, processor: Any, preprocess: Preprocess, background: Colour = WHITE, window: Window | None = None
    ) -> None:
        self.processor = processor
        self.preprocess = preprocess
        self.background = background
        self.window = window
        tokenizer = processor.tokenizer
        self.image_token: str = processor.image_token
        self.image_id: int = tokenizer.convert_tokens_to_ids(self.image_token)
        added = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
        self.special = sorted({*added, *tokenizer.all_special_tokens, self.image_token}, key=len, reverse=True)

    def encode(self, prompts: Sequence[VisualPrompt]) -> list[Encoded]:
        """Token ids of prompts, the answer opened, and patches; a picture that stands in several is read once.

        Raises:
            UsageError: a prompt has another number of image parts than pictures, or no user's turn to put them in.
            DataError: a picture cannot be read.
        """
        if not prompts:
            return []
        ready: dict[int, Patches] = {}
        rows = [[self._remembered(picture, ready) for picture in prompt.pictures] for prompt in prompts]
        conversations = [self._conversation(prompt, at) for at, prompt in enumerate(prompts)]
        texts = self.processor.apply_chat_template(conversations, add_generation_prompt=True, tokenize=False)
        expanded = [self._expanded(text, row) for text, row in zip(texts, rows, strict=True)]
        ids = self.processor.tokenizer(expanded, add_special_tokens=False)["input_ids"]
        return [Encoded(list(row), patches) for row, patches in zip(ids, rows, strict=True)]

    def text_ids(self, text: str) -> list[int]:
        """Token ids of a text in which special tokens are plain text."""
        return list(self.processor.tokenizer(self.plain(text), add_special_tokens=False)["input_ids"])

    def plain(self, text: str) -> str:
        """A text without special tokens, and without lone surrogates, which no tokenizer takes."""
        text = text.encode("utf-8", "replace").decode("utf-8")
        for token in self.special:
            text = text.replace(token, f"{token[:1]} {token[1:]}")
        return text

    def split(self, pictures: Tensor) -> list[list[Patches]]:
        """The patches of each of `(B, 3, H, W)` pictures, or of the V views of each of `(B, V, 3, H, W)`, at once."""
        pixels, grid = self.preprocess(pictures)
        time, height, width = grid[0].tolist() if len(grid) else (1, 1, 1)
        views = 1 if pictures.ndim == 4 else pictures.shape[1]
        each = [Patches(part, (time, height, width)) for part in pixels.split(time * height * width)]
        return [each[start : start + views] for start in range(0, len(grid), views)]

    def patches(self, picture: Picture) -> Patches:
        """Read a picture and cut it into patches; see `Picture`."""
        if isinstance(picture, Patches):
            return picture
        if isinstance(picture, Tensor):
            if picture.ndim != 3:
                raise UsageError(f"a picture must be a tensor (3, H, W); this is {tuple(picture.shape)}")
            return self.split(picture.unsqueeze(0))[0][0]
        image = load_any(picture, self.window, background=self.background)
        pixels, grid = self.preprocess.of_images([fetch(image, self.preprocess)])
        time, height, width = grid[0].tolist()
        return Patches(pixels, (time, height, width))

    def _remembered(self, picture: Picture, ready: dict[int, Patches]) -> Patches:
        if id(picture) not in ready:
            ready[id(picture)] = self.patches(picture)
        return ready[id(picture)]

    def _conversation(self, prompt: VisualPrompt, at: int) -> list[dict[str, Any]]:
        messages = [{**message, "content": self._parts(message["content"])} for message in prompt.messages]
        placed = sum(part["type"] == "image" for message in messages for part in message["content"])
        wanted = len(prompt.pictures)
        if wanted and not placed:
            user = next((message for message in messages if message["role"] == "user"), None)
            if user is None:
                raise UsageError(f"prompt {at} has {wanted} pictures and no user's turn to put them in")
            user["content"] = [{"type": "image"}] * wanted + user["content"]
        elif wanted != placed:
            raise UsageError(f"prompt {at} has {placed} image parts and {wanted} pictures; give as many of each")
        return messages

    def _parts(self, content: Any) -> list[dict[str, Any]]:
        if isinstance(content, str):
            return [{"type": "text", "text": self.plain(content)}]
        parts: list[dict[str, Any]] = []
        for part in content:
            if part.get("type") not in ("text", "image"):
                raise UsageError(f"a part of a message is {part.get('type')!r}; use text and image")
            parts.append(
                {"type": "image"} if part["type"] == "image" else {"type": "text", "text": self.plain(part["text"])}
            )
        return parts

    def _expanded(self, text: str, patches: Sequence[Patches]) -> str:
        """One image token for each of a picture's tokens, where the template puts one for the picture."""
        pieces = text.split(self.image_token)
        if len(pieces) != len(patches) + 1:
            raise UsageError(
                f"the chat template puts {len(pieces) - 1} places for {len(patches)} pictures; take the chat template "
                "of a Qwen-VL model"
            )
        merged = self.preprocess.merge**2
        counts = [self.image_token * (grid[0] * grid[1] * grid[2] // merged) for grid in (p.grid for p in patches)]
        return "".join(part for pair in zip(pieces, [*counts, ""], strict=True) for part in pair)


def spellings(tokenizer: Any, word: str) -> list[int]:
    """The tokens that are a word by themselves: as given, capitalised and in capitals, after a space or not.

    Raises:
        UsageError: there is none.
    """
    cases = dict.fromkeys([word, word.lower(), word.capitalize(), word.upper()])
    texts = [f"{before}{case}" for case in cases for before in ("", " ", "\n")]
    single = {ids[0] for ids in tokenizer(texts, add_special_tokens=False)["input_ids"] if len(ids) == 1}
    found = [token for token in single if tokenizer.decode([token]).strip().casefold() == word.casefold()]
    if not found:
        raise UsageError(
            f"the tokenizer has no single token for {word!r} (it writes {tokenizer.tokenize(word)}), so its "
            "probability cannot be read off the next token; take other words, or compare log_prob of whole answers"
        )
    return sorted(found)


def fetch(image: Image, preprocess: Preprocess) -> Image:
    """An RGB picture resized by qwen-vl-utils, as Qwen's own examples do it: in Pillow, before the processor.

    That is within 2 steps of 255 of what the stock processor makes of the whole picture. Pictures so thin that the
    two would give them different sizes are left to the processor.

    Raises:
        MissingDependency: qwen-vl-utils is not installed.
    """
    try:
        from qwen_vl_utils import process_vision_info, smart_resize
    except ImportError as error:
        raise MissingDependency("qwen-vl-utils", "medvqa") from error

    bounds = {"min_pixels": preprocess.min_pixels, "max_pixels": preprocess.max_pixels}
    wanted = preprocess.resized(image.height, image.width)
    if smart_resize(image.height, image.width, preprocess.patch * preprocess.merge, **bounds) != wanted:
        return image
    content = [{"type": "image", "image": image, **bounds}]
    images, _ = process_vision_info([{"role": "user", "content": content}], image_patch_size=preprocess.patch)
    resized: Image = images[0]
    return resized
