"""Every encoder gives unit vectors, row by row, the same in every process; ours survives saving."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from common.errors import DataError, UsageError
from common.models.text import (
    Encoder,
    HashEncoder,
    NgramEncoder,
    TransformerEncoder,
    bucket,
    load_encoder,
    ngrams,
)

TEXTS = [
    "How many singers are older than 30?",
    "30歳より年上の歌手は何人いますか",
    "",
    "show number of rows from singer",
    "𝕏 \ud83d",
]


def assert_contract(encoder: Encoder, tolerance: float = 1e-5) -> None:
    assert isinstance(encoder, Encoder)
    vectors = encoder.encode(TEXTS)
    assert vectors.shape == (len(TEXTS), encoder.dim)
    assert vectors.dtype == torch.float32
    assert not vectors.requires_grad
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(len(TEXTS)))
    one_by_one = torch.cat([encoder.encode([text]) for text in TEXTS])
    torch.testing.assert_close(vectors, one_by_one, atol=tolerance, rtol=0)
    torch.testing.assert_close(encoder.encode(TEXTS[::-1]).flip(0), vectors, atol=tolerance, rtol=0)
    assert encoder.encode([]).shape == (0, encoder.dim)


def tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE(unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    raw.train_from_iterator(
        TEXTS[:4],
        trainers.BpeTrainer(
            vocab_size=400, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
        ),
    )
    names = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    PreTrainedTokenizerFast(tokenizer_object=raw, model_max_length=64, **names).save_pretrained(folder)


@pytest.fixture(scope="module")
def xlm_r(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model of XLM-R's class."""
    from transformers import XLMRobertaConfig, XLMRobertaModel

    folder = tmp_path_factory.mktemp("xlm-r")
    torch.manual_seed(0)
    XLMRobertaModel(
        XLMRobertaConfig(
            vocab_size=400,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            max_position_embeddings=40,
            pad_token_id=1,
        )
    ).save_pretrained(folder)
    tokenizer(folder)
    return folder


def test_hash_encoder() -> None:
    encoder = load_encoder("hash")
    assert isinstance(encoder, HashEncoder)
    assert_contract(encoder)
    same, close, far = encoder.encode(["show name of singer", "show the name of singer", "platypus hats"])
    assert same @ close > 0.5 > same @ far


def test_ngram_encoder_saves_and_loads(tmp_path: Path) -> None:
    torch.manual_seed(1)
    encoder = NgramEncoder(buckets=512, width=8, hidden=16, dim=12)
    assert_contract(encoder)
    encoder.save(tmp_path / "encoder")
    loaded = load_encoder(tmp_path / "encoder")
    assert isinstance(loaded, NgramEncoder)
    assert loaded.sizes == encoder.sizes
    torch.testing.assert_close(loaded.encode(TEXTS), encoder.encode(TEXTS), atol=2e-3, rtol=0)
    sizes = NgramEncoder().save(tmp_path / "full")
    assert sum(file.stat().st_size for file in sizes.iterdir()) <= 2_000_000


@given(st.text() | st.lists(st.sampled_from(["name", "歌手は", "Über", "3.5", "?", "ab"])).map(" ".join))
def test_codes_are_the_hashed_features(text: str) -> None:
    """They are put together word by word, for speed; the features stay what `ngrams` says, in its order."""
    codes = NgramEncoder(buckets=512, width=4, hidden=4, dim=4).codes(text)
    assert codes == (tuple(bucket(feature, 512) for feature in ngrams(text)) or (0,))


def test_embed_has_a_gradient_and_encode_none() -> None:
    encoder = NgramEncoder(buckets=64, width=4, hidden=4, dim=4)
    encoder.embed(["a b"]).sum().backward()
    assert encoder.network.table.weight.grad is not None
    assert not encoder.encode(["a b"]).requires_grad


@pytest.mark.parametrize("broken", ["config", "weights", "kind"])
def test_broken_folder_says_what_is_wrong(tmp_path: Path, broken: str) -> None:
    folder = NgramEncoder(buckets=64, width=4, hidden=4, dim=4).save(tmp_path)
    if broken == "weights":
        (folder / "encoder.safetensors").write_bytes(b"nonsense")
    elif broken == "config":
        (folder / "encoder.json").write_text('{"kind": "ngram", "buckets": 32, "width": 4, "hidden": 4, "dim": 4}')
    else:
        (folder / "encoder.json").write_text('{"kind": "other"}')
    with pytest.raises(DataError, match=str(folder)):
        load_encoder(folder)
    with pytest.raises(UsageError, match="no encoder"):
        load_encoder(tmp_path / "absent" / "encoder" / "folder")


def test_vectors_do_not_depend_on_the_process(tmp_path: Path) -> None:
    """Python's own `hash` of a text differs from process to process."""
    torch.manual_seed(2)
    folder = NgramEncoder(buckets=512, width=8, hidden=16, dim=12).save(tmp_path)
    code = "from common.models.text import load_encoder as load; "
    code += f"print(load({str(folder)!r}).encode([{TEXTS[1]!r}]).tolist())"
    environment = {"PYTHONHASHSEED": "12345", "PYTHONPATH": "."}
    other = subprocess.run([sys.executable, "-c", code], env=environment, text=True, capture_output=True, check=True)
    assert other.stdout.strip() == str(load_encoder(folder).encode([TEXTS[1]]).tolist())


def test_features_see_word_order_and_scripts_without_spaces() -> None:
    assert "30 歳" in ngrams("30歳")
    assert "歌 手" in ngrams("歌手")
    assert "#sin" in ngrams("Singers")
    assert set(ngrams("age over 30 size under 5")) != set(ngrams("age under 30 size over 5"))
    assert ngrams("CAFÉ birth_date") == ngrams("café birth date")


def test_xlm_r_class_from_a_folder(xlm_r: Path) -> None:
    encoder = load_encoder(xlm_r)
    assert isinstance(encoder, TransformerEncoder)
    assert_contract(encoder, tolerance=1e-4)
    assert encoder.encode(["word " * 500]).isfinite().all(), "longer than the model's positions"


def test_sentence_transformers_from_a_folder(xlm_r: Path, tmp_path: Path) -> None:
    sentence_transformers = pytest.importorskip("sentence_transformers")
    from sentence_transformers.models import Pooling, Transformer

    word = Transformer(str(xlm_r), max_seq_length=32)
    sentence_transformers.SentenceTransformer(modules=[word, Pooling(16, pooling_mode="cls")], device="cpu").save(
        str(tmp_path)
    )
    encoder = load_encoder(tmp_path)
    assert type(encoder).__name__ == "SentenceTransformerEncoder"
    assert_contract(encoder, tolerance=1e-4)
    # It keeps its own pooling.
    assert not torch.allclose(encoder.encode(TEXTS), load_encoder(xlm_r).encode(TEXTS), atol=1e-3)
