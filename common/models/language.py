"""Causal language models and their tokenizers: from a folder, a hub id or a GGUF file, ready to train or to ask."""

from __future__ import annotations

import contextlib
import logging
import reprlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from common.config import LanguageModelConfig, LoraConfig
from common.errors import UsageError
from common.files import read_object
from common.models.loading import load_from, resolve_device, resolve_dtype, settled, without_bars
from common.models.sizes import check_folder

if TYPE_CHECKING:
    import peft
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

logger = logging.getLogger(__name__)

Prompt = str | Sequence[Mapping[str, Any]]


def prompt_text(prompt: Prompt) -> str:
    """The prompt as one text; a conversation's messages without their roles."""
    return prompt if isinstance(prompt, str) else "\n".join(_content(message) for message in prompt)


def _content(message: Mapping[str, Any]) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "".join(block.get("text", "") for block in content if block.get("type", "text") == "text")


class Saved(Protocol):
    """What writes itself into a model's folder, as tokenizers and processors do."""

    def save_pretrained(self, folder: Any, /) -> Any:
        """Write the files."""


def load_language_model(
    config: LanguageModelConfig, training: bool = False
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a causal language model and its tokenizer, which pads on the left.

    LoRA adapters are not added here: the trainers add them, so that the untouched model stays the reference.

    Args:
        config: where the model is (a folder, a hub id, or `package:NAME`, the folder of an installed Python package),
            its dtype and its device.
        training: return the model in training mode; on a CPU this needs float32.

    Raises:
        UsageError: there is no such model, or a dtype or device that this machine cannot use.
        MissingDependency: a GGUF file is asked for and the `gguf` package is not installed.
    """
    from transformers import AutoModelForCausalLM

    config = settled(config)
    device = resolve_device(config.device)
    dtype = resolve_dtype(config.dtype, device, training)
    options = {} if config.gguf_file is None else _unpacked()

    def read(**more: Any) -> Any:
        check_folder(config.path, AutoModelForCausalLM)
        return AutoModelForCausalLM.from_pretrained(config.path, dtype=dtype, **options, **more)

    model = load_from(config, read, "a model")
    if config.gguf_file is not None:
        _forget_gguf(model)
    tokenizer = load_tokenizer(config)
    check_tokens(model, tokenizer)
    model = model.to(device)
    return model.train(training), tokenizer


def _unpacked() -> dict[str, Any]:
    """Load options that unpack a GGUF file's weights; older versions of transformers know no other way."""
    try:
        from transformers import GgufConfig
    except ImportError:
        return {}
    return {"quantization_config": GgufConfig(dequantize=True)}


def _forget_gguf(model: Any) -> None:
    """Unpacked weights are weights like any other, but transformers refuses to train what came from a GGUF file."""
    model.hf_quantizer, model.quantization_method, model.is_quantized = None, None, False
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config


def load_tokenizer(config: LanguageModelConfig) -> PreTrainedTokenizerBase:
    """Load the tokenizer of a model, or the one named by `config.tokenizer`; it pads on the left."""
    config = settled(config)
    if config.tokenizer is not None:
        config = LanguageModelConfig(path=config.tokenizer)
    loader = _tokenizer_class(config.path)
    tokenizer = load_from(config, lambda **options: loader.from_pretrained(config.path, **options), "a tokenizer")
    tokenizer.padding_side = "left"
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def _tokenizer_class(path: str) -> Any:
    """What reads the tokenizer in `path`.

    Where a folder names transformers' general class, its tokenizer.json holds all there is to know. AutoTokenizer
    then goes by the model's type instead: a Qwen2 model's text is split as Qwen splits it, whatever the file says.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    file = Path(path) / "tokenizer_config.json"
    if not (file.is_file() and (file.parent / "tokenizer.json").is_file()):
        return AutoTokenizer
    general = read_object(file).get("tokenizer_class") in ("TokenizersBackend", "PreTrainedTokenizerFast")
    return PreTrainedTokenizerFast if general else AutoTokenizer


def save_language_model(model: Any, tokenizer: Saved, folder: Path | str) -> Path:
    """Write weights (safetensors), configuration and tokenizer into `folder`, which appears only when it is whole.

    A processor, which holds a tokenizer, is written in its place. LoRA adapters are written merged into the model,
    and once more by themselves under `adapter/`.
    """
    import shutil

    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    if is_peft(model):
        model.save_pretrained(unfinished / "adapter")
        model = merged_copy(model)
    with without_bars():
        model.save_pretrained(unfinished)
    tokenizer.save_pretrained(unfinished)
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.rename(folder)
    return folder


def merged_copy(model: Any) -> Any:
    """A plain model whose weights are the base's with the adapters added; the given model is left as it was."""
    import copy

    return copy.deepcopy(model).merge_and_unload()


def is_peft(model: Any) -> bool:
    """Whether adapters sit on the model."""
    return hasattr(model, "peft_config") and hasattr(model, "merge_and_unload")


def check_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Refuse a tokenizer that cannot end or pad a text, or that knows more tokens than the model.

    Raises:
        UsageError: says which, and what to do.
    """
    name = tokenizer.name_or_path or "the tokenizer"
    if tokenizer.eos_token_id is None:
        raise UsageError(f"{name}: it has no eos token, so no answer would ever end; set eos_token in its config")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    if not isinstance(tokenizer.model_max_length, (int, float)):
        raise UsageError(f"{name}: model_max_length of its tokenizer is no number")
    check_vocabulary(model, tokenizer)
    model.config.get_text_config().pad_token_id = tokenizer.pad_token_id
    if model.generation_config is not None:
        model.generation_config.pad_token_id = tokenizer.pad_token_id


def check_vocabulary(model: Any, tokenizer: PreTrainedTokenizerBase) -> None:
    """Refuse a tokenizer that knows more tokens than the model.

    Raises:
        UsageError: says which, and what to do.
    """
    rows = model.get_input_embeddings().weight.shape[0]
    highest = max(tokenizer.get_vocab().values(), default=0)
    if highest >= rows:
        raise UsageError(
            f"{tokenizer.name_or_path or 'the tokenizer'}: token id {highest} has no row in the model's embedding "
            f"({rows} rows); take the model's own tokenizer or enlarge the embedding"
        )


def eos_token_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Every token that ends an answer: the tokenizer's and all that the model declares.

    Raises:
        UsageError: the model declares something else.
    """
    declared = model.generation_config.eos_token_id if model.generation_config is not None else None
    listed = declared if isinstance(declared, list) else [] if declared is None else [declared]
    if not all(isinstance(one, int) for one in listed):
        raise UsageError(
            f"eos_token_id of generation_config.json is {reprlib.repr(declared)}; a token's number is needed"
        )
    return list(dict.fromkeys([tokenizer.eos_token_id, *listed]))


def prompt_ids(tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Prompt]) -> list[list[int]]:
    """Token ids of prompts, with the chat template and the opening of the answer where they are conversations.

    Raises:
        UsageError: a conversation meets a tokenizer without chat template.
    """
    if not prompts:
        return []
    if isinstance(prompts[0], str):
        return [list(ids) for ids in tokenizer(list(prompts))["input_ids"]]
    check_chat_template(tokenizer)
    conversations: Any = [list(prompt) for prompt in prompts]
    with readable_template(tokenizer.name_or_path):
        encoded: Any = tokenizer.apply_chat_template(
            conversations, add_generation_prompt=True, tokenize=True, return_dict=True
        )
    return [list(ids) for ids in encoded["input_ids"]]


@contextlib.contextmanager
def readable_template(name: str) -> Iterator[None]:
    """A `UsageError` where the chat template of the model called `name` fails."""
    from jinja2 import TemplateError

    try:
        yield
    except (TemplateError, TypeError, ValueError, LookupError, ArithmeticError) as error:
        raise UsageError(
            f"{name or 'the tokenizer'}: its chat template fails: {error}; take the model's own"
        ) from error


def check_chat_template(tokenizer: PreTrainedTokenizerBase) -> None:
    """Raise a `UsageError` where the tokenizer cannot render a conversation."""
    if tokenizer.chat_template is None:
        raise UsageError(
            f"{tokenizer.name_or_path or 'the tokenizer'}: the prompts are conversations and it has no chat template; "
            "take an instruction-tuned model, or put a chat_template.jinja into its folder"
        )


def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Prompt],
    max_new_tokens: int,
    temperature: float = 0.0,
    n: int = 1,
    batch_size: int = 64,
    progress: Callable[[int], None] | None = None,
) -> list[list[str]]:
    """Answer every prompt `n` times.

    Prompts of like length share a batch; answers come in the prompts' order, without special tokens.

    Args:
        model: a decoder-only model; its training mode is restored.
        tokenizer: the model's tokenizer.
        prompts: texts or conversations.
        max_new_tokens: longest answer, in tokens.
        temperature: 0 takes the likeliest token; above it, samples are drawn from torch's global generator.
        n: answers for each prompt.
        batch_size: answers made at once.
        progress: called with the number of prompts answered after each batch.

    Raises:
        UsageError: a sampling of several greedy answers, or a conversation without chat template.
    """
    from common.models.decoding import sample

    if n > 1 and temperature <= 0:
        raise UsageError("several greedy answers would all be the same; set a temperature above 0")
    ids = prompt_ids(tokenizer, prompts)
    order = sorted(range(len(ids)), key=lambda row: len(ids[row]))
    answers: list[list[str]] = [[] for _ in ids]
    per_batch = max(1, batch_size // n)
    with evaluating(model):
        for start in range(0, len(order), per_batch):
            rows = order[start : start + per_batch]
            sampled = sample(
                model,
                [ids[row] for row in rows],
                n=n,
                max_new_tokens=max_new_tokens,
                temperature=temperature,
                eos_ids=eos_token_ids(model, tokenizer),
                pad_id=tokenizer.pad_token_id,
            )
            for row, group in zip(rows, sampled, strict=True):
                answers[row] = tokenizer.batch_decode(group, skip_special_tokens=True)
            if progress is not None:
                progress(len(rows))
    return answers


@contextlib.contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[None]:
    """Switch dropout and its like off for the block; afterwards every module is in the mode it was in before."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


@dataclass(frozen=True)
class ModelDescription:
    """What a model would be, without its weights.

    Attributes:
        architecture: class name.
        parameters: number of weights; tied ones count once.
        trainable: number of weights that training would change: the adapters' with LoRA, else all.
    """

    architecture: str
    parameters: int
    trainable: int


def describe_on_meta(config: LanguageModelConfig) -> ModelDescription:
    """Build the model on the meta device, from its configuration only: no weights are read and no memory is taken.

    Raises:
        UsageError: the configuration cannot be read, or LoRA names layers that the model does not have.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    config = settled(config)
    found = load_from(config, lambda **options: AutoConfig.from_pretrained(config.path, **options), "a model")
    return described(config, lambda: AutoModelForCausalLM.from_config(found))


def described(config: LanguageModelConfig, make: Callable[[], PreTrainedModel]) -> ModelDescription:
    """Describe what `make` builds on the meta device, with the config's LoRA.

    Raises:
        UsageError: LoRA names layers that the model does not have.
    """
    import torch

    with torch.device("meta"):
        model = make()
        parameters = sum(parameter.numel() for parameter in model.parameters())
        trainable = parameters
        if config.lora is not None:
            from peft import get_peft_model

            try:
                adapted = get_peft_model(model, peft_config(config.lora), autocast_adapter_dtype=False)
            except ValueError as error:
                raise UsageError(f"{config.path}: LoRA does not fit: {error}") from error
            trainable = sum(parameter.numel() for parameter in adapted.parameters() if parameter.requires_grad)
    return ModelDescription(type(model).__name__, parameters, trainable)


def peft_config(config: LoraConfig) -> peft.LoraConfig:
    """Peft's own settings for a causal language model."""
    from peft import LoraConfig as PeftLoraConfig

    return PeftLoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=config.target_modules,
        task_type="CAUSAL_LM",
    )
