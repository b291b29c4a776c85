"""The models of a dry run: built on the meta device, which holds no weights, and the memory that they would take."""

from __future__ import annotations

import re
from typing import Any

from apps.captioning.config import CaptioningConfig
from apps.captioning.dry_run import Found, NotChecked
from common.errors import UsageError
from common.files import locate, read_object
from common.models.hub import cached, unreachable

#: Shapes as well known as their names, for a machine without the hub: class, and what differs from its default.
PUBLISHED: dict[str, tuple[str, dict[str, int]]] = {
    "openai-community/gpt2": ("GPT2Config", {}),
    "FacebookAI/roberta-base": ("RobertaConfig", {"max_position_embeddings": 514, "type_vocab_size": 1}),
}
GIGABYTE = 1e9


def clip(config: CaptioningConfig, found: Found) -> str:
    """Build the CLIP and check the name of its weights."""
    import open_clip
    import torch

    name = config.clip.name
    if name.startswith("hf-hub:"):
        raise NotChecked(f"{name}: its shape stands in the hub; it is looked at when it is opened")
    folder = locate(name.removeprefix("local-dir:"))
    if name.startswith("local-dir:") or (folder / "open_clip_config.json").is_file():
        if not (folder / "open_clip_config.json").is_file():
            raise UsageError(f"clip.name: no CLIP at {folder}; `pretrain` makes the pocket models")
        settings = dict(read_object(folder / "open_clip_config.json").get("model_cfg", {}))
        tag = ""
    else:
        name, _, tag = name.partition(":")
        name, tag = name.replace("/", "-"), tag or config.clip.pretrained
        if name not in open_clip.list_models():
            raise UsageError(f"clip.name: OpenCLIP knows no model {name!r}; a folder works too: local-dir:FOLDER")
        tags = open_clip.list_pretrained_tags_by_model(name)
        if not locate(tag or "-").is_file() and not open_clip.is_pretrained_cfg(name, tag):
            raise UsageError(f"clip.pretrained: {name} has no weights {tag!r}; known: {', '.join(tags)}")
        settings = dict(open_clip.get_model_config(name) or {})
    found.features = int(settings["embed_dim"])
    if (settings.get("text_cfg") or {}).get("hf_model_name"):
        raise NotChecked(f"{name}: features of size {found.features}; its text tower's shape stands in the hub")
    custom = settings.pop("custom_text", False)
    with torch.device("meta"):
        model = (open_clip.CustomTextCLIP if custom else open_clip.CLIP)(**settings)
    found.clip = _count(model)
    weights = f", weights {tag!r}" if tag else ""
    return f"{config.clip.name}{weights}: {found.clip / 1e6:,.1f} M weights, features of size {found.features}"


def captioner(config: CaptioningConfig, found: Found) -> str:
    """Build mapper and decoder, and see that a caption has room."""
    import torch
    from transformers import AutoModelForCausalLM

    from apps.captioning.mapper import Shape, build_mapper
    from apps.captioning.model import SHAPE

    settings = config.captioner
    shape, path = None, settings.decoder
    if config.start:
        folder, named = locate(config.start), "captioner.path" if settings.path else "init.path"
        if not (folder / SHAPE).is_file():
            raise UsageError(f"{named}: {folder} holds no {SHAPE}; `train` makes a captioner")
        shape, path = Shape(**read_object(folder / SHAPE)), str(folder / "decoder")
        if found.features and shape.features != found.features:
            raise UsageError(
                f"{named}: it reads features of size {shape.features}, and CLIP makes {found.features}; set "
                f"clip.name to the one it was trained on, {shape.clip or 'whose name it does not know'}"
            )
    known, reason = _settings("captioner.decoder", path)
    with torch.device("meta"):
        decoder = _built(AutoModelForCausalLM, known)
        width = decoder.get_input_embeddings().embedding_dim
        shape = shape or Shape(
            found.features or width,
            width,
            settings.mapper,
            settings.prefix_length,
            settings.mapper_layers,
            settings.normalize_prefix,
        )
        mapper = build_mapper(shape)
    positions = getattr(known, "max_position_embeddings", None)
    if positions and shape.prefix_length + settings.max_new_tokens > positions:
        raise UsageError(
            f"captioner: {shape.prefix_length} prefix vectors and {settings.max_new_tokens} tokens do not fit the "
            f"decoder's {positions} places; lower captioner.max_new_tokens"
        )
    found.captioner, found.decoder = _count(decoder) + _count(mapper), known
    told = (
        f"{type(decoder).__name__}, {_count(decoder) / 1e6:,.1f} M weights, after a mapper ({shape.mapper}) of "
        f"{_count(mapper) / 1e6:,.1f} M"
    )
    return _told(told, reason)


def discriminator(config: CaptioningConfig, found: Found) -> str:
    """Build the discriminator where naturalness is paid."""
    import torch
    from transformers import AutoModelForSequenceClassification

    if "naturalness" not in config.reward.weights or not config.rl.steps:
        return "not used: naturalness is not paid" if config.rl.steps else "not used: rl.steps is 0"
    known, reason = _settings("discriminator.path", config.discriminator.path, num_labels=1)
    with torch.device("meta"):
        model = _built(AutoModelForSequenceClassification, known)
    found.discriminator, found.judge = _count(model), known
    return _told(f"{type(model).__name__}, {found.discriminator / 1e6:,.1f} M weights", reason)


def memory(config: CaptioningConfig, found: Found) -> str:
    """What a reinforcement step would hold, on each device; an estimate, its largest part named first."""
    if not found.captioner or not found.clip:
        raise NotChecked("needs the shapes of CLIP and captioner")
    rl, decoder = config.rl, found.decoder
    taken, micro_batch = (
        (rl.pictures_per_step * min(rl.samples, rl.keep or rl.samples), rl.micro_batch)
        if rl.steps
        else (config.init.batch_size, config.init.micro_batch)
    )
    rows = _rows(taken // found.processes, micro_batch)
    tokens = config.captioner.prefix_length + config.captioner.max_new_tokens
    reference = rl.steps and (rl.beta > 0 or rl.algorithm == "dico")
    # Logits, their log-softmax and its gradient.
    vocabulary = 3 * 4 * rows * tokens * decoder.vocab_size
    activations = _activations(decoder, rows, tokens)
    judged = 0
    if found.judge is not None:
        # As many generated captions as sentences, two for each picture of this process.
        texts = 4 * rl.pictures_per_step // found.processes
        judged = _activations(
            found.judge, _rows(texts, config.discriminator.micro_batch), config.captioner.max_new_tokens
        )
    if judged > vocabulary + activations:
        # The two learn one after the other.
        vocabulary, activations = 0, judged
    parts = {
        # Weights, gradients and AdamW's two moments, each of 4 bytes.
        "trained models": 16 * (found.captioner + found.discriminator),
        "frozen models": 4 * (found.clip + (found.captioner if reference else 0)),
        "vocabulary": vocabulary,
        "activations": activations,
    }
    listed = sorted(parts.items(), key=lambda part: -part[1])
    told = ", ".join(f"{name} {size / GIGABYTE:.2g}" for name, size in listed if size >= 0.005 * sum(parts.values()))
    each = f" in each of {found.processes} processes" if found.processes > 1 else ""
    return f"about {sum(parts.values()) / GIGABYTE:.2g} GB for {rows} captions at once{each}: {told}"


def _rows(taken: int, micro_batch: int) -> int:
    return min(taken, micro_batch) if micro_batch else taken


def _activations(model: Any, rows: int, tokens: int) -> int:
    # Korthikanti et al. 2022 (arXiv 2205.05198), equation 2, in 4 bytes instead of 2.
    heads, width, layers = model.num_attention_heads, model.hidden_size, model.num_hidden_layers
    return int(2 * layers * rows * tokens * (34 * width + 5 * heads * tokens))


def _settings(option: str, path: str, **changes: Any) -> tuple[Any, str]:
    """A transformers config, and why it is not the model's own; empty where it is."""
    import transformers

    place = locate(path)
    if place.is_dir() or not re.fullmatch(r"[\w-][\w.-]*(/[\w.-]+)?", path):
        if not (place / "config.json").is_file():
            raise UsageError(f"{option}: no model at {place}; `pretrain` makes the pocket models")
        return _config(option, str(place), True, **changes), ""
    if cached(path):
        return _config(option, path, True, **changes), ""
    closed = unreachable()
    if not closed:
        return _config(option, path, False, **changes), ""
    if path not in PUBLISHED:
        raise NotChecked(f"{path}: {closed}; give a folder, or run this where the hub is")
    kind, differs = PUBLISHED[path]
    return getattr(transformers, kind)(**differs, **changes), f"{path} by its published shape: {closed}"


def _config(option: str, place: str, local: bool, **changes: Any) -> Any:
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(place, local_files_only=local, **changes)
    except (OSError, ValueError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UsageError(f"{option}: {place} cannot be loaded: {first}") from error


def _built(kind: Any, config: Any) -> Any:
    return kind.from_config(config)


def _count(model: Any) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _told(text: str, reason: str) -> str:
    if reason:
        raise NotChecked(f"{text} ({reason}; the weights were not looked for)")
    return text
