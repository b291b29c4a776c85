"""Language models: loaded from what there is, saved whole, and asked in batches without a change in the answers."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM
from transformers.trainer_utils import validate_quantization_for_training

from common.config import LanguageModelConfig, LoraConfig
from common.errors import UsageError
from common.models import decoding
from common.models.language import (
    describe_on_meta,
    evaluating,
    generate,
    load_language_model,
    load_tokenizer,
    peft_config,
    prompt_ids,
    save_language_model,
)
from common.models.loading import resolve_device, resolve_dtype
from tests.common.training import tiny

PROMPTS = [[{"role": "user", "content": "a" * length + "bc"}] for length in (9, 0, 3, 30, 1, 3, 14, 2)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_language_model(tiny.model(), tiny.tokenizer(), tmp_path_factory.mktemp("models") / "tiny")


def reference(model: Any, tokenizer: Any, prompt: Any, new: int) -> str:
    """What transformers' own greedy `generate` says."""
    ids = torch.tensor(prompt_ids(tokenizer, [prompt]))
    said = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=new,
        do_sample=False,
        pad_token_id=0,
        eos_token_id=[1, 7],
    )
    return str(tokenizer.decode(said[0, ids.shape[1] :], skip_special_tokens=True))


def test_answers_depend_on_neither_batch_nor_order_nor_other_prompts(folder: Path) -> None:
    model, tokenizer = load_language_model(LanguageModelConfig(path=str(folder)))
    model.generation_config.eos_token_id = [1, 7]  # a second token that ends answers, so that lengths differ
    together = generate(model, tokenizer, PROMPTS, max_new_tokens=12)
    assert [len(answers) for answers in together] == [1] * len(PROMPTS)
    assert together == [[reference(model, tokenizer, prompt, 12)] for prompt in PROMPTS]
    assert len({len(answer[0]) for answer in together}) > 1
    assert together == [generate(model, tokenizer, [prompt], max_new_tokens=12)[0] for prompt in PROMPTS]
    assert together[::-1] == generate(model, tokenizer, PROMPTS[::-1], max_new_tokens=12, batch_size=3)


@pytest.mark.parametrize("kind", ["qwen2", "gpt2", "sliding"])
def test_other_architectures_answer_as_transformers_does(kind: str) -> None:
    from transformers import AutoModelForCausalLM, GPT2Config, MistralConfig, Qwen2Config

    shape = {"vocab_size": 48, "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": None, "initializer_range": 0.3}
    llama = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    }
    config = {
        "qwen2": lambda: Qwen2Config(**shape, **llama),
        "gpt2": lambda: GPT2Config(**shape, n_embd=32, n_layer=2, n_head=2, n_positions=128),
        "sliding": lambda: MistralConfig(**shape, **llama, sliding_window=8),
    }[kind]()
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    model.generation_config.eos_token_id = [1, 7]
    tokenizer = tiny.tokenizer()
    together = generate(model, tokenizer, PROMPTS, max_new_tokens=24)
    assert together == [[reference(model, tokenizer, prompt, 24)] for prompt in PROMPTS]


def test_samples_follow_the_model(folder: Path) -> None:
    """First and second sampled tokens are distributed as the softmax says, and a cold sample is the greedy answer."""
    model, tokenizer = load_language_model(LanguageModelConfig(path=str(folder)))
    torch.manual_seed(0)
    ids = prompt_ids(tokenizer, PROMPTS[:2])
    drawn = decoding.sample(model, ids, n=6000, max_new_tokens=2, temperature=1.5, eos_ids=[1], pad_id=0)
    for row, group in zip(ids, drawn, strict=True):
        expected = torch.softmax(model(torch.tensor([row])).logits[0, -1] / 1.5, -1)
        found = torch.bincount(torch.tensor([tokens[0] for tokens in group]), minlength=48) / len(group)
        assert (found - expected).abs().max() < 0.03
        first = int(found[2:].argmax()) + 2
        after = torch.tensor([tokens[1] for tokens in group if tokens[0] == first])
        expected = torch.softmax(model(torch.tensor([[*row, first]])).logits[0, -1] / 1.5, -1)
        assert (torch.bincount(after, minlength=48) / len(after) - expected).abs().max() < 0.06
        assert len(after) > 300
    uneven = decoding.sample(model, ids, n=[1, 3], max_new_tokens=5, temperature=1e-4, eos_ids=[1], pad_id=0)
    even = decoding.sample(model, ids, n=1, max_new_tokens=5, temperature=0.0, eos_ids=[1], pad_id=0)
    assert uneven == [even[0], even[1] * 3]
    cold = generate(model, tokenizer, PROMPTS, max_new_tokens=6, temperature=1e-4, n=3)
    greedy = generate(model, tokenizer, PROMPTS, max_new_tokens=6)
    assert cold == [answers * 3 for answers in greedy]


def test_spread_samples_follow_the_model_and_cover_it_evenly(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each first token comes as often as its share of the group says, to within one; the second ones on average."""
    model, tokenizer = load_language_model(LanguageModelConfig(path=str(folder)))
    row = prompt_ids(tokenizer, PROMPTS[:1])[0]
    settings: Any = {"max_new_tokens": 2, "temperature": 1.5, "eos_ids": [1], "pad_id": 0, "spread": True}
    expected = torch.softmax(model(torch.tensor([row])).logits[0, -1] / 1.5, -1)
    torch.manual_seed(0)
    for size in (2, 7, 40):
        (group,) = decoding.sample(model, [row], n=size, **settings)
        counts = torch.bincount(torch.tensor([tokens[0] for tokens in group]), minlength=48)
        assert (counts - size * expected).abs().max() < 1
    for worn in (decoding._Points.WORN, 1.0):  # with points that last, and with new ones for each token
        monkeypatch.setattr(decoding._Points, "WORN", worn)
        groups = decoding.sample(model, [row] * 800, n=8, **settings)
        first = int(expected[2:].argmax()) + 2
        after = torch.tensor([tokens[1] for group in groups for tokens in group if tokens[0] == first])
        second = torch.softmax(model(torch.tensor([[*row, first]])).logits[0, -1] / 1.5, -1)
        assert (torch.bincount(after, minlength=48) / len(after) - second).abs().max() < 0.06
    alone = decoding.sample(model, [row] * 6000, n=1, **settings)
    found = torch.bincount(torch.tensor([tokens[0] for (tokens,) in alone]), minlength=48) / 6000
    assert (found - expected).abs().max() < 0.03


def test_sampling_is_seeded_and_leaves_the_mode_alone(folder: Path) -> None:
    model, tokenizer = load_language_model(LanguageModelConfig(path=str(folder)), training=True)
    seen = []
    torch.manual_seed(4)
    first = generate(model, tokenizer, PROMPTS, 8, temperature=1.0, n=2, batch_size=4, progress=seen.append)
    torch.manual_seed(4)
    assert generate(model, tokenizer, PROMPTS, 8, temperature=1.0, n=2, batch_size=4) == first
    assert model.training
    assert sum(seen) == len(PROMPTS)
    assert any(one != other for one, other in first)
    assert generate(model, tokenizer, [], 8) == []
    with pytest.raises(UsageError, match="temperature"):
        generate(model, tokenizer, PROMPTS, 8, n=2)


def test_saved_and_loaded_is_the_same(folder: Path, tmp_path: Path) -> None:
    model, tokenizer = load_language_model(LanguageModelConfig(path=str(folder)))
    assert tiny.same_weights(model, tiny.model())
    assert tokenizer.padding_side == "left"
    assert tokenizer.chat_template == tiny.TEMPLATE
    assert not list(folder.parent.glob(".*"))
    target = tmp_path / "again"
    target.mkdir()
    (target / "left over").write_text("from before")
    save_language_model(model, tokenizer, target)
    assert not (target / "left over").exists()
    assert tiny.same_weights(load_language_model(LanguageModelConfig(path=str(target)))[0], model)


def test_a_qwen2_model_keeps_the_tokenizer_it_was_saved_with(tmp_path: Path) -> None:
    # transformers gives this type of model Qwen's own splitting of texts, whatever the folder's tokenizer.json says.
    tokenizer = tiny.tokenizer()
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = Qwen2ForCausalLM(Qwen2Config(vocab_size=48, num_key_value_heads=1, **sizes))
    saved = save_language_model(model, tokenizer, tmp_path / "model")
    loaded = load_language_model(LanguageModelConfig(path=str(saved)))[1]
    named = load_tokenizer(LanguageModelConfig(path="elsewhere", tokenizer=str(saved)))
    expected = tokenizer("how many 42")["input_ids"]
    assert loaded("how many 42")["input_ids"] == named("how many 42")["input_ids"] == expected


def test_evaluating_gives_every_module_its_mode_back() -> None:
    model = tiny.model().train()
    model.lm_head.eval()  # a part that is frozen on purpose
    with evaluating(model):
        assert not any(module.training for module in model.modules())
    assert model.training
    assert not model.lm_head.training
    assert all(module.training for module in model.model.modules())


def test_adapters_are_saved_merged(tmp_path: Path) -> None:
    from peft import get_peft_model

    model = get_peft_model(tiny.model(), peft_config(LoraConfig(rank=2)))
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    model.eval()
    ids = torch.tensor([[5, 6, 7]])
    saved = save_language_model(model, tiny.tokenizer(), tmp_path / "merged")
    loaded, _ = load_language_model(LanguageModelConfig(path=str(saved)))
    torch.testing.assert_close(loaded(ids).logits, model(ids).logits, atol=1e-4, rtol=1e-4)
    assert (loaded(ids).logits - tiny.model()(ids).logits).abs().max() > 0.01
    assert (saved / "adapter" / "adapter_config.json").is_file()
    assert hasattr(model, "peft_config")


def test_description_without_weights(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "config.json", tmp_path / "config.json")  # no weights beside it
    described = describe_on_meta(LanguageModelConfig(path=str(tmp_path)))
    assert described.architecture == "LlamaForCausalLM"
    assert described.parameters == described.trainable == sum(p.numel() for p in tiny.model().parameters())
    adapted = describe_on_meta(LanguageModelConfig(path=str(tmp_path), lora=LoraConfig(rank=2)))
    assert adapted.parameters == described.parameters
    assert 0 < adapted.trainable < described.parameters // 2
    with pytest.raises(UsageError, match="LoRA"):
        describe_on_meta(LanguageModelConfig(path=str(tmp_path), lora=LoraConfig(target_modules=["q_porj"])))


def test_precision_follows_the_device() -> None:
    cpu = torch.device("cpu")
    assert resolve_dtype("auto", cpu, training=True) is torch.float32
    assert resolve_dtype("bfloat16", cpu, training=True) is torch.float32
    assert resolve_dtype("bfloat16", cpu, training=False) is torch.bfloat16
    assert resolve_dtype("float16", cpu, training=False) is torch.float32
    assert resolve_dtype("bfloat16", torch.device("cuda"), training=True) is torch.bfloat16
    with pytest.raises(UsageError, match="int8"):
        resolve_dtype("int8", cpu, training=False)


def test_devices() -> None:
    assert resolve_device("cpu") == torch.device("cpu")
    with pytest.raises(UsageError, match="auto, cpu"):
        resolve_device("gpu")
    with pytest.raises(UsageError, match="GPUs"):
        resolve_device("cuda:99")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"path": ""}, "no model given"),
        ({"path": "/nowhere/at/all"}, "no such model folder"),
        ({"path": "{empty}"}, "cannot load"),
        ({"path": "package:no_such_package"}, "is not installed"),
        ({"path": "{empty}", "gguf_file": "none.gguf"}, "no such GGUF file"),
        ({"path": "{folder}", "tokenizer": "/nowhere"}, "no such model folder"),
    ],
)
def test_what_cannot_be_loaded_is_explained(
    folder: Path, tmp_path: Path, config: dict[str, str], message: str
) -> None:
    filled = {name: value.format(folder=folder, empty=tmp_path) for name, value in config.items()}
    with pytest.raises(UsageError, match=message):
        load_language_model(LanguageModelConfig(**filled))


def test_a_hub_id_goes_to_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """No network here: the id must reach `from_pretrained`, and its failure must be one readable line."""
    import transformers

    asked = []

    def from_pretrained(path: str, **_: Any) -> Any:
        asked.append(path)
        raise OSError("We couldn't connect to 'https://huggingface.co'\nand more lines")

    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", from_pretrained)
    with pytest.raises(UsageError, match="org/name: cannot load a model from there: We couldn't connect") as raised:
        load_language_model(LanguageModelConfig(path="org/name"))
    assert asked == ["org/name"]
    assert "\n" not in str(raised.value)


def test_a_model_inside_a_python_package(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(folder, tmp_path / "llm_toy")
    (tmp_path / "llm_toy" / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    model, _ = load_language_model(LanguageModelConfig(path="package:llm_toy"))
    assert tiny.same_weights(model, tiny.model())
    assert "Loading weights" not in capsys.readouterr().err


def test_gguf(tmp_path: Path) -> None:
    """A llama in GGUF answers as the same llama in safetensors."""
    gguf = pytest.importorskip("gguf")
    model = tiny.model()
    write_gguf(gguf, model, tmp_path / "tiny.gguf")
    loaded, tokenizer = load_language_model(LanguageModelConfig(path=str(tmp_path), gguf_file="tiny.gguf"))
    assert tokenizer.padding_side == "left"
    ids = torch.tensor([[5, 6, 7, 8, 9]])
    torch.testing.assert_close(loaded(ids).logits, model(ids).logits, atol=1e-4, rtol=1e-4)
    validate_quantization_for_training(loaded)
    save_language_model(loaded, tokenizer, tmp_path / "again")
    # The recipe's own settings, which still name the file, fit the trained model too.
    again, _ = load_language_model(LanguageModelConfig(path=str(tmp_path / "again"), gguf_file="tiny.gguf"))
    torch.testing.assert_close(again(ids).logits, loaded(ids).logits)
    described = describe_on_meta(LanguageModelConfig(path=str(tmp_path), gguf_file="tiny.gguf"))
    assert described.architecture == "LlamaForCausalLM"


def write_gguf(gguf: Any, model: Any, path: Path) -> None:
    """The few fields and tensors that a llama needs, as llama.cpp's converter writes them."""
    config, heads = model.config, model.config.num_attention_heads
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_dimension_count(config.hidden_size // heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    tokens = ["<pad>", "<|endoftext|>", *(chr(ord("!") + number) for number in range(45)), '!"']
    writer.add_token_list(tokens)
    writer.add_token_types([3, 3] + [1] * 46)
    writer.add_token_merges([f"{tokens[2]} {tokens[3]}"])
    writer.add_bos_token_id(1)
    writer.add_unk_token_id(1)
    writer.add_eos_token_id(1)
    writer.add_pad_token_id(0)
    names = {
        "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm",
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
    }
    for name, tensor in model.state_dict().items():
        short = name.removeprefix("model.").removesuffix(".weight")
        if short in ("embed_tokens", "norm"):
            writer.add_tensor({"embed_tokens": "token_embd", "norm": "output_norm"}[short] + ".weight", tensor.numpy())
        elif short.startswith("layers."):
            _, layer, rest = short.split(".", 2)
            count = {"attn_q": heads, "attn_k": config.num_key_value_heads}.get(names[rest])
            if count:  # llama.cpp keeps the halves of a rotary pair side by side
                tensor = tensor.view(count, 2, -1, tensor.shape[1]).transpose(1, 2).reshape(tensor.shape)
            writer.add_tensor(f"blk.{layer}.{names[rest]}.weight", tensor.contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
