"""What goes into a Qwen-VL: conversations about pictures as token ids, with the pictures' patches beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor

from common.errors import MissingDependency, UsageError
from common.models.language import readable_template
from common.models.vlm_input import Preprocess, check_tensor
from common.pictures import Source, load_any

if TYPE_CHECKING:
    from PIL.Image import Image

#: A conversation; each message has `role` and `content`, a text or a list of blocks.
Messages = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, eq=False)
class Patches:
    """A picture that is ready for the model.

    Attributes:
        pixels: `(N, D)`, see `Preprocess`.
        grid: patches in time, height and width.
    """

    pixels: Tensor
    grid: tuple[int, int, int]

    def __len__(self) -> int:
        """How many patches, N."""
        time, height, width = self.grid
        return time * height * width


#: A file, its bytes, a Pillow picture, a tensor `(3, H, W)` in [0, 1], or what was made of one of these before.
Picture = Source | Tensor | Patches
#: Those of several questions: `(B, 3, H, W)`, `(B, views, 3, H, W)`, or for each question one or several.
Pictures = Tensor | Sequence[Picture | Sequence[Picture]]
#: What an answer is called: one word or several.
Words = str | Sequence[str]


@dataclass(frozen=True, eq=False)
class VisualPrompt:
    """A conversation that a model is to go on with, about none, one or several pictures.

    Attributes:
        messages: each with `role` and `content`, a text or a list of blocks (`{"type": "text", "text": …}`,
            `{"type": "image"}`). Where no block is an image, the pictures stand before the first user's text, which
            must then be a plain text, as trl puts them.
        pictures: in the order in which they stand in the conversation.
    """

    messages: Messages
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
    """Makes token ids and patches from prompts, up to the opening of the answer.

    They are those that the stock processor makes, but prompts with none, one and several pictures may come together,
    every distinct picture is processed once, and grey of more than 8 bits is windowed, not cut off. Special tokens
    written in a text are plain text: a space is put behind their first character, so that a question cannot end its
    turn or ask for a picture that is not there.

    Args:
        processor: of a Qwen-VL; its chat template and tokenizer are used, not its padding.
        preprocess: what makes patches; that of the processor where not given.
        load: makes an 8-bit RGB picture of a file, its bytes or a Pillow picture.
    """

    def __init__(
        self, processor: Any, preprocess: Preprocess | None = None, load: Callable[[Source], Image] = load_any
    ) -> None:
        self.processor = processor
        self.preprocess = preprocess or Preprocess.of(processor)
        self.load = load
        tokenizer = processor.tokenizer
        self.image_id: int = tokenizer.convert_tokens_to_ids(processor.image_token)
        added = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
        self.special = sorted({*added, *tokenizer.all_special_tokens, processor.image_token}, key=len, reverse=True)

    def encode(self, prompts: Sequence[VisualPrompt]) -> list[Encoded]:
        """Token ids and patches of prompts; pictures that look the same are one `Patches` wherever they stand.

        Raises:
            UsageError: see `place`, and `Preprocess.resized`; or the chat template is not that of a Qwen-VL.
            DataError: a picture cannot be read.
        """
        if not prompts:
            return []
        ready: dict[Any, Patches] = {}
        rows = [[self._patches(picture, ready) for picture in prompt.pictures] for prompt in prompts]
        conversations = [self.conversation(prompt.messages, len(prompt.pictures)) for prompt in prompts]
        with readable_template(self.processor.tokenizer.name_or_path):
            texts = self.processor.apply_chat_template(conversations, add_generation_prompt=True, tokenize=False)
        ids = self.processor.tokenizer(texts, add_special_tokens=False)["input_ids"]
        return [Encoded(self._expanded(row, patches), patches) for row, patches in zip(ids, rows, strict=True)]

    def conversation(self, messages: Messages, pictures: int) -> list[dict[str, Any]]:
        """Messages as `place` gives them, in which special tokens are plain text."""
        placed = place(messages, pictures)
        for block in (block for message in placed for block in message["content"] if block["type"] == "text"):
            block["text"] = self.plain(block["text"])
        return placed

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

    def asked(self, pictures: Pictures, questions: str | Sequence[str], system: str | None) -> list[VisualPrompt]:
        """One prompt for each question; see `VisionLanguageModel.yes_logit`.

        Raises:
            UsageError: not as many questions as pictures, or tensors that are no pictures.
        """
        rows: list[list[Picture]]
        if isinstance(pictures, Tensor):
            check_tensor(pictures)
            rows = [[*patches] for patches in self.split(pictures)]
        else:
            entries: Sequence[Any] = pictures
            rows = [list(entry) if isinstance(entry, (list, tuple)) else [entry] for entry in entries]
        asked = [questions] * len(rows) if isinstance(questions, str) else list(questions)
        if len(asked) != len(rows):
            raise UsageError(f"there are {len(rows)} pictures and {len(asked)} questions; give one for each")
        return [ask(question, row, system) for question, row in zip(asked, rows, strict=True)]

    def _patches(self, picture: Picture, ready: dict[Any, Patches]) -> Patches:
        """Of a picture; `ready` holds those made before, by the object it is and, once decoded, by what it shows."""
        if isinstance(picture, Patches):
            return picture
        if id(picture) not in ready:
            if isinstance(picture, Tensor):
                if picture.ndim != 3:
                    raise UsageError(f"a picture must be a tensor (3, H, W); this is {tuple(picture.shape)}")
                ready[id(picture)] = self.split(picture.unsqueeze(0))[0][0]
            else:
                image = self.load(picture)
                shown = (image.size, image.tobytes())
                if shown not in ready:
                    pixels, grid = self.preprocess.of_images([image])
                    time, height, width = grid[0].tolist()
                    ready[shown] = Patches(pixels, (time, height, width))
                ready[id(picture)] = ready[shown]
        return ready[id(picture)]

    def _expanded(self, ids: Sequence[int], patches: Sequence[Patches]) -> list[int]:
        """One image token for each of a picture's tokens, where the template puts one for the picture."""
        places = ids.count(self.image_id)
        if places != len(patches):
            raise UsageError(
                f"the chat template puts {places} places for {len(patches)} pictures; take the chat template of a "
                "Qwen-VL model"
            )
        tokens = iter([len(each) // self.preprocess.merge**2 for each in patches])
        return [token for one in ids for token in ([one] * next(tokens) if one == self.image_id else [one])]


def place(messages: Messages, pictures: int) -> list[dict[str, Any]]:
    """Messages in blocks of text and image, with as many image blocks as there are pictures.

    Raises:
        UsageError: there are image blocks already, of another number, or pictures inside them; or blocks of another
            type.
    """
    blocks = [_blocks(message["content"]) for message in messages]
    marked = [block for several in blocks for block in several if block["type"] == "image"]
    if any({"image", "url", "path"} & block.keys() for block in marked):
        raise UsageError(
            "a picture inside a message, where a data set turns it into bytes; put the pictures into the column images"
        )
    if not marked:
        first = next((row for row, message in enumerate(messages) if message["role"] == "user"), None)
        if first is not None and isinstance(messages[first]["content"], str):
            marked = [{"type": "image"}] * pictures
            blocks[first] = marked + blocks[first]
    if len(marked) != pictures:
        raise UsageError(
            f"{pictures} pictures and {len(marked)} placeholders; write one {{'type': 'image'}} block for each "
            "picture into the messages, or none and plain texts: then the pictures come before the first user's text"
        )
    return [{"role": message["role"], "content": content} for message, content in zip(messages, blocks, strict=True)]


def _blocks(content: Any) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    # Arrow fills the fields that only other blocks have.
    blocks = [{name: value for name, value in block.items() if value is not None} for block in content]
    if wrong := [block.get("type") for block in blocks if block.get("type") not in ("text", "image")]:
        raise UsageError(f"a part of a message is {wrong[0]!r}; use text and image")
    return blocks


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


def opposites(tokenizer: Any, words: tuple[Words, Words]) -> tuple[list[int], list[int]]:
    """The tokens of two opposite answers, each with all its words' spellings.

    Raises:
        UsageError: a word has no single token, or a token belongs to both answers.
    """
    answers = [[answer] if isinstance(answer, str) else answer for answer in words]
    first, second = (sorted({token for word in answer for token in spellings(tokenizer, word)}) for answer in answers)
    if not first or not second or set(first) & set(second):
        raise UsageError(f"the answers {words[0]!r} and {words[1]!r} share a word or lack one; give two opposites")
    return first, second


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
