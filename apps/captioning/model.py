"""The captioner: a CLIP feature becomes a prefix, from which a GPT-2-class decoder goes on (ClipCap, CgT-GAN)."""

from __future__ import annotations

import inspect
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from apps.captioning.mapper import Shape, build_mapper
from apps.captioning.model_config import CaptionerConfig
from apps.captioning.transport import transport
from common.errors import DataError, TouchstoneError, UsageError
from common.files import locate, read_object, write_json
from common.models.sizes import check_folder, check_layers, check_network, held_in

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Captions:
    """Generated captions.

    Attributes:
        tokens: `(B, T)` ids; the padding id after the end token.
        mask: `(B, T)` bool; true up to and including the end token.
        texts: `(B,)` decoded, without the end token.
    """

    tokens: Tensor
    mask: Tensor
    texts: list[str]

    @property
    def lengths(self) -> Tensor:
        """`(B,)` tokens, the end token included."""
        return self.mask.sum(1)

    def rows(self, kept: Tensor) -> Captions:
        """Some of the captions, `kept` being their numbers."""
        return Captions(self.tokens[kept], self.mask[kept], [self.texts[row] for row in kept.tolist()])


class Captioner(nn.Module):
    """Mapper and decoder, which are trained together, and a fixed map of pictures' features to where sentences' lie.

    All methods but `translate` take features as the mapper reads them: of sentences, or of pictures translated.

    Args:
        shape: of the mapper.
        decoder: a transformers causal language model of GPT-2's class.
        tokenizer: its tokenizer; the end-of-text token ends a caption.
    """

    def __init__(self, shape: Shape, decoder: Any, tokenizer: PreTrainedTokenizerBase) -> None:
        super().__init__()
        self.shape = shape
        self.mapper = build_mapper(shape)
        self.decoder = decoder
        # The identity, until it is aligned.
        self.register_buffer("turn", torch.eye(shape.features))
        self.register_buffer("shift", torch.zeros(shape.features))
        self.tokenizer = tokenizer
        self.end = int(tokenizer.eos_token_id)
        # GPT-2 has no padding token; whatever stands after the end token is masked, so the end token itself will do.
        self.pad = int(self.end if tokenizer.pad_token_id is None else tokenizer.pad_token_id)

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return next(self.parameters()).device

    turn: Tensor
    shift: Tensor

    def align(self, pictures: Tensor, sentences: Tensor) -> None:
        """Learn to translate from features of pictures `(P, D)` and of sentences `(N, D)`, in no order."""
        turn, shift = transport(pictures, sentences)
        self.turn.copy_(turn)
        self.shift.copy_(shift)

    def translate(self, pictures: Tensor) -> Tensor:
        """Features of pictures `(B, D)` as features that a sentence could have, of length 1 like them."""
        return nn.functional.normalize(pictures @ self.turn.T + self.shift, dim=-1)

    def prefix(self, features: Tensor) -> Tensor:
        """`(B, features)` to `(B, prefix_length, width)`."""
        # Features of length 1 are scaled so that one dimension is of usual size 1: the mapper's first layer saw almost
        # nothing otherwise, and learnt slowly.
        prefix = self.mapper(features * self.shape.features**0.5).view(
            len(features), self.shape.prefix_length, self.shape.width
        )
        return nn.functional.normalize(prefix, dim=-1) if self.shape.normalize_prefix else prefix

    def check_room(self, longest: int) -> None:
        """Refuse captions that are longer than the decoder has positions for.

        Raises:
            UsageError: names both lengths.
        """
        positions = getattr(self.decoder.config, "max_position_embeddings", None)
        if positions is not None and longest + self.shape.prefix_length > positions:
            raise UsageError(
                f"captioner.max_new_tokens: the decoder has {positions} positions, too few for {longest} tokens after "
                f"a prefix of {self.shape.prefix_length}"
            )

    def check_clip(self, name: str, features: int, path: object) -> None:
        """Refuse a CLIP whose features are not of the size that the captioner was trained on.

        Args:
            name: of the CLIP.
            features: size of its features.
            path: of this captioner, for the message.

        Raises:
            UsageError: the sizes differ.
        """
        if self.shape.features != features:
            raise UsageError(
                f"{path}: this captioner reads features of size {self.shape.features}, and the CLIP {name} makes "
                f"{features}; set clip.name to the one it was trained on"
                + (f", {self.shape.clip}" if self.shape.clip else "")
            )

    def encode(self, texts: list[str], longest: int) -> tuple[Tensor, Tensor]:
        """Token ids and mask of sentences, each with its end token, cut at `longest` tokens (the end token stays)."""
        rows = [[*ids[: longest - 1], self.end] for ids in self.token_ids(texts)]
        width = max((len(row) for row in rows), default=1)
        tokens = torch.full((len(rows), width), self.pad)
        mask = torch.zeros(len(rows), width, dtype=torch.bool)
        for number, row in enumerate(rows):
            tokens[number, : len(row)] = torch.tensor(row)
            mask[number, : len(row)] = True
        return tokens.to(self.device), mask.to(self.device)

    def token_ids(self, texts: list[str]) -> list[list[int]]:
        """Token ids of texts, without the end token; a text that spells a special token does not become it."""
        if not texts:
            return []
        found = self.tokenizer(texts, add_special_tokens=False, split_special_tokens=True, verbose=False)
        return [list(ids) for ids in found["input_ids"]]

    def decode(self, tokens: Tensor, mask: Tensor) -> list[str]:
        """Texts of generated tokens, without end tokens."""
        rows = [
            [token for token, kept in zip(row, keep, strict=True) if kept and token != self.end]
            for row, keep in zip(tokens.tolist(), mask.tolist(), strict=True)
        ]
        return self.tokenizer.batch_decode(rows, skip_special_tokens=False, clean_up_tokenization_spaces=False)

    def logits(self, features: Tensor, tokens: Tensor) -> Tensor:
        """`(B, T, V)` next-token logits: entry t is what the model expects at place t."""
        prefix = self.prefix(features)
        words = self.decoder.get_input_embeddings()(tokens[:, :-1])
        # Causal attention hides what follows, so padding after the end token needs no attention mask.
        output = self.decoder(inputs_embeds=torch.cat([prefix, words], 1), use_cache=False)
        logits: Tensor = output.logits
        return logits[:, self.shape.prefix_length - 1 :]

    def log_probs(self, features: Tensor, tokens: Tensor, temperature: float = 1.0) -> Tensor:
        """`(B, T)` log-probability of each token after the ones before it."""
        logits = self.logits(features, tokens).float() / temperature
        return torch.log_softmax(logits, -1).gather(-1, tokens.unsqueeze(-1)).squeeze(-1)

    @torch.no_grad()
    def generate(
        self, features: Tensor, longest: int, temperature: float = 0.0, generator: torch.Generator | None = None
    ) -> Captions:
        """One caption for each feature.

        Args:
            features: `(B, features)`.
            longest: most tokens, the end token included.
            temperature: 0 takes the likeliest token (greedy); else tokens are sampled at this temperature.
            generator: of the samples, on the CPU; torch's own where not given.

        Raises:
            UsageError: the decoder has not so many positions.
            TouchstoneError: the model's chances are not numbers: its weights are damaged.
        """
        from transformers import DynamicCache

        self.check_room(longest)
        batch = len(features)
        rows: list[Tensor] = []
        alive = torch.ones(batch, dtype=torch.bool, device=self.device)
        kept: list[Tensor] = []
        step_input, memory = self.prefix(features), {cache_argument(self.decoder): DynamicCache()}
        for _ in range(longest if batch else 0):
            logits = self.decoder(inputs_embeds=step_input, use_cache=True, **memory).logits[:, -1].float()
            token = logits.argmax(-1) if temperature == 0 else _sample(logits / temperature, generator)
            token = torch.where(alive, token, self.pad)
            rows.append(token)
            kept.append(alive)
            alive = alive & (token != self.end)
            if not alive.any():
                break
            step_input = self.decoder.get_input_embeddings()(token).unsqueeze(1)
        empty = torch.zeros(batch, 0, device=self.device)
        tokens = torch.stack(rows, 1) if rows else empty.long()
        mask = torch.stack(kept, 1) if kept else empty.bool()
        return Captions(tokens, mask, self.decode(tokens, mask))

    def ended(self, captions: Captions) -> Tensor:
        """`(B,)` bool: whether the caption came to its end token."""
        return ((captions.tokens == self.end) & captions.mask).any(1)

    def save(self, folder: Path | str) -> None:
        """Write `captioner.json`, `mapper.safetensors` (translation too) and the decoder with its tokenizer."""
        from safetensors.torch import save_file

        from common.models.loading import without_bars

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        # What an earlier save left must not stand for this one if it is interrupted.
        (folder / SHAPE).unlink(missing_ok=True)
        with without_bars():
            self.decoder.save_pretrained(folder / "decoder")
        self.tokenizer.save_pretrained(folder / "decoder")
        save_file({name: value.contiguous() for name, value in self._own_weights().items()}, folder / MAPPER)
        # Written last: a folder with it is whole.
        write_json(folder / SHAPE, asdict(self.shape))

    def _own_weights(self) -> dict[str, Tensor]:
        """All but the decoder's."""
        return {name: value for name, value in self.state_dict().items() if not name.startswith("decoder.")}

    def load_own_weights(self, weights: dict[str, Tensor]) -> None:
        """What `save` wrote beside the decoder.

        Raises:
            RuntimeError: weights are missing, too many, or of another size.
        """
        decoder = {f"decoder.{name}": value for name, value in self.decoder.state_dict().items()}
        self.load_state_dict({**weights, **decoder})


MAPPER, SHAPE = "mapper.safetensors", "captioner.json"


def load_captioner(folder: Path | str, device: str = "cpu") -> Captioner:
    """A saved captioner, in evaluation mode.

    Raises:
        DataError: the folder holds none, or a damaged one; names the file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    folder = locate(folder)
    if not (folder / SHAPE).is_file():
        raise DataError(
            f"not a captioner's folder (it holds no {SHAPE}); `train` makes one, for --captioner.path RUN/model",
            path=folder,
        )
    try:
        shape = Shape(**read_object(folder / SHAPE))
    except TypeError as error:
        raise DataError(f"no description of a captioner ({error}); `train` writes one", path=folder / SHAPE) from error
    decoder, tokenizer = load_decoder(str(folder / "decoder"))
    try:
        held = held_in([folder / MAPPER])
        if shape.mapper == "transformer":
            check_layers(asdict(shape), held, folder / SHAPE)
        check_network(lambda: Captioner(shape, decoder, tokenizer), held, folder / SHAPE)
        captioner = Captioner(shape, decoder, tokenizer)
    except (TypeError, ValueError, RuntimeError, ArithmeticError, AssertionError) as error:
        raise DataError(f"no captioner has this shape ({error}); `train` writes one", path=folder / SHAPE) from error
    try:
        captioner.load_own_weights(load_file(folder / MAPPER))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise DataError(f"damaged weights ({error}); train the captioner again", path=folder / MAPPER) from error
    return captioner.to(torch_device(device)).eval()


def new_captioner(config: CaptionerConfig, features: int, clip: str = "") -> Captioner:
    """A captioner with a fresh mapper before a language model; its initialisation is still to come.

    Args:
        config: the settings.
        features: size of the CLIP's features.
        clip: name of the CLIP.
    """
    decoder, tokenizer = load_decoder(config.decoder)
    shape = Shape(
        features,
        decoder.get_input_embeddings().embedding_dim,
        config.mapper,
        config.prefix_length,
        config.mapper_layers,
        config.normalize_prefix,
        clip,
    )
    return Captioner(shape, decoder, tokenizer).to(torch_device(config.device))


def load_decoder(path: str) -> tuple[Any, PreTrainedTokenizerBase]:
    """A causal language model in float32 and its tokenizer, from a folder or a hub id.

    Raises:
        UsageError: there is none, it is damaged, or it has no end-of-text token.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from common.models.language import check_vocabulary
    from common.models.loading import exact_errors, unreadable, without_bars

    place = str(locate(path))
    broken: tuple[type[Exception], ...] = (*unreadable(), DataError)
    try:
        check_folder(place, AutoModelForCausalLM)
        with without_bars(), exact_errors():
            decoder = AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32)
            tokenizer = AutoTokenizer.from_pretrained(place)
        check_vocabulary(decoder, tokenizer)
    except broken as error:
        made = "; `pretrain --only decoder` makes it" if path == CaptionerConfig.decoder else ""
        raise UsageError(f"captioner.decoder: {path} cannot be loaded{made}: {error}") from error
    if tokenizer.eos_token_id is None:
        raise UsageError(f"captioner.decoder: {path} has no end-of-text token, which ends a caption")
    return decoder, tokenizer


def cache_argument(decoder: Any) -> str:
    """What a decoder calls its cache: `cache`, or `past_key_values` in older versions of transformers."""
    return "cache" if "cache" in inspect.signature(decoder.forward).parameters else "past_key_values"


def torch_device(name: str) -> torch.device:
    """The named device; "auto" is a GPU where there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def _sample(logits: Tensor, generator: torch.Generator | None) -> Tensor:
    """One token a row; drawn on the CPU, so that a seed means the same on every device."""
    chances = torch.softmax(logits, -1)
    if not chances.isfinite().all():
        raise TouchstoneError("the captioner's chances are not numbers; its weights are damaged, train it again")
    return torch.multinomial(chances.cpu(), 1, generator=generator).squeeze(1).to(logits.device)
