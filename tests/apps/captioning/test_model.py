"""The captioner: decoding, log-probabilities, texts and tokens, saving."""

from __future__ import annotations

import math

import pytest
import torch

from apps.captioning.mapper import Shape
from apps.captioning.model import Captioner, load_captioner, load_decoder, new_captioner
from apps.captioning.model_config import CaptionerConfig
from common.errors import DataError, TouchstoneError, UsageError
from tests.apps.captioning.tiny import LONGEST, WIDTH, new_tiny_captioner, tiny_decoder_folder, tiny_tokenizer


@pytest.fixture(scope="module", params=["mlp", "transformer"])
def captioner(request):
    return new_tiny_captioner(mapper=request.param)


def features(count: int, seed: int = 0) -> torch.Tensor:
    values = torch.randn(count, 32, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(values, dim=-1)


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_a_caption_does_not_depend_on_its_neighbours(captioner, batch):
    seen = features(64)
    alone = [captioner.generate(seen[row : row + 1], 12).texts[0] for row in range(24)]
    together = [text for part in seen.split(batch) for text in captioner.generate(part, 12).texts]
    assert together[:24] == alone
    # The captions differ, so that the test can fail.
    assert len(set(alone)) > 12


def test_log_probs_are_those_of_a_step_by_step_forward(captioner):
    seen = features(5)
    said = captioner.generate(seen, 10, 1.0, torch.Generator().manual_seed(3))
    found = captioner.log_probs(seen, said.tokens, 0.7)
    assert found.shape == said.tokens.shape
    for row in range(5):
        sequence = captioner.prefix(seen[row : row + 1])
        for place in range(int(said.lengths[row])):
            logits = captioner.decoder(inputs_embeds=sequence).logits[0, -1]
            token = said.tokens[row, place]
            assert float(found[row, place]) == pytest.approx(float((logits / 0.7).log_softmax(-1)[token]), abs=1e-4)
            word = captioner.decoder.get_input_embeddings()(token.view(1, 1))
            sequence = torch.cat([sequence, word], 1)


def test_samples_follow_the_model(captioner):
    seen = features(1).expand(4000, -1)
    said = captioner.generate(seen, 1, 1.0, torch.Generator().manual_seed(0))
    expected = captioner.logits(features(1), torch.zeros(1, 1, dtype=torch.long))[0, 0].softmax(-1)
    counted = torch.bincount(said.tokens[:, 0], minlength=len(expected)) / 4000
    assert float((counted - expected).abs().sum()) / 2 < 0.15
    again = captioner.generate(seen, 1, 1.0, torch.Generator().manual_seed(0))
    assert torch.equal(said.tokens, again.tokens)


def test_temperature_is_that_of_the_log_probs(captioner):
    seen = features(8)
    cold = captioner.generate(seen, 6, 1e-4, torch.Generator().manual_seed(0))
    assert cold.texts == captioner.generate(seen, 6).texts


def test_the_end_token_ends_a_caption_and_is_not_in_its_text(captioner):
    said = captioner.generate(features(64), 30, 1.5, torch.Generator().manual_seed(0))
    ended = captioner.ended(said)
    assert 0 < int(ended.sum()) < 64
    for row, tokens in enumerate(said.tokens.tolist()):
        length = int(said.lengths[row])
        assert said.mask[row].tolist() == [place < length for place in range(said.tokens.shape[1])]
        assert captioner.end not in tokens[: length - 1]
        assert (tokens[length - 1] == captioner.end) == bool(ended[row])
        assert set(tokens[length:]) <= {captioner.pad}
        if not ended[row]:
            assert length == said.tokens.shape[1] == 30
    assert not any("endoftext" in text for text in said.texts)


def test_nothing_to_say_anything_of(captioner):
    said = captioner.generate(features(0), 8)
    assert said.texts == []
    assert said.tokens.shape == (0, 0)


def test_encode_keeps_the_end_token_when_it_cuts(captioner):
    texts = ["A red star.", "A red star to the left of two orange circles on a grey background.", ""]
    tokens, mask = captioner.encode(texts, 6)
    assert tokens.shape[1] == 6
    for row, length in enumerate(mask.sum(1).tolist()):
        assert tokens[row, length - 1] == captioner.end
        assert (tokens[row] == captioner.end).sum() == 1
        assert (tokens[row, length:] == captioner.pad).all()
    assert mask.sum(1).tolist()[2] == 1
    whole, kept = captioner.encode(texts, 60)
    assert captioner.decode(whole, kept) == texts
    assert captioner.encode([], 6)[0].shape[0] == 0


def test_a_text_that_spells_a_special_token_is_text(captioner):
    text = "A star <|endoftext|> and <pad>."
    tokens, mask = captioner.encode([text], 60)
    assert (tokens == captioner.end).sum() == 1
    assert captioner.decode(tokens, mask) == [text]


@pytest.mark.parametrize("text", ["Ein grüner Stern.", "赤い星。", "a 🙂 star", "tab\tand\nline", "ctrl \x01"])
def test_any_text_can_be_said(captioner, text):
    tokens, mask = captioner.encode([text], 60)
    assert captioner.decode(tokens, mask) == [text]


def test_pictures_are_translated_to_where_sentences_lie():
    captioner, pictures, sentences = new_tiny_captioner(), features(60), features(90, 1) + 0.3
    sentences = torch.nn.functional.normalize(sentences, dim=-1)
    torch.testing.assert_close(captioner.translate(pictures), pictures)
    captioner.align(pictures, sentences)
    there = captioner.translate(pictures)
    torch.testing.assert_close(there.norm(dim=-1), torch.ones(60))
    assert (there.mean(0) - sentences.mean(0)).norm() < 0.2 * (pictures.mean(0) - sentences.mean(0)).norm()
    # Fitted again from the pictures as they are, not from where they were moved to.
    captioner.align(pictures, sentences)
    assert torch.equal(captioner.translate(pictures), there)


def test_a_saved_captioner_says_the_same(tmp_path):
    captioner = new_tiny_captioner()
    captioner.align(features(9), features(9, 1))
    captioner.save(tmp_path / "model")
    loaded = load_captioner(tmp_path / "model")
    assert loaded.shape == captioner.shape
    assert not loaded.training
    for (name, one), (other, two) in zip(captioner.state_dict().items(), loaded.state_dict().items(), strict=True):
        assert name == other
        assert torch.equal(one, two), name
    said, again = (model.generate(features(9), 12) for model in (captioner, loaded))
    assert torch.equal(said.tokens, again.tokens)
    assert said.texts == again.texts


def test_a_captioner_saved_in_half_precision_is_opened_in_full(captioner, tmp_path):
    from copy import deepcopy

    deepcopy(captioner).half().save(tmp_path / "half")
    assert {value.dtype for value in load_captioner(tmp_path / "half").parameters()} == {torch.float32}


@pytest.mark.parametrize(("mapper", "normalize"), [("mlp", True), ("transformer", False)])
def test_a_new_captioner_is_shaped_as_its_settings_say(tmp_path, mapper, normalize):
    folder = tiny_decoder_folder(tmp_path)
    config = CaptionerConfig(
        decoder=str(folder), mapper=mapper, prefix_length=3, mapper_layers=2, normalize_prefix=normalize, device="cpu"
    )
    made = new_captioner(config, 32, "some clip")
    assert made.shape == Shape(32, WIDTH, mapper, 3, 2, normalize, "some clip")
    prefix = made.prefix(features(4))
    assert prefix.shape == (4, 3, WIDTH)
    assert torch.allclose(prefix.norm(dim=-1), torch.ones(4, 3), atol=1e-5) == normalize


def test_what_cannot_be_opened_is_named(captioner, tmp_path):
    with pytest.raises(DataError, match=r"holds no captioner\.json"):
        load_captioner(tmp_path)
    captioner.save(tmp_path / "cut")
    weights = tmp_path / "cut" / "mapper.safetensors"
    weights.write_bytes(weights.read_bytes()[:-40])
    with pytest.raises(DataError, match=r"mapper\.safetensors: damaged weights"):
        load_captioner(tmp_path / "cut")
    captioner.save(tmp_path / "other")
    (tmp_path / "other" / "captioner.json").write_text('{"width": 3}')
    with pytest.raises(DataError, match=r"captioner\.json: no description of a captioner"):
        load_captioner(tmp_path / "other")
    decoder = tmp_path / "cut" / "decoder" / "model.safetensors"
    decoder.write_bytes(decoder.read_bytes()[:100])
    with pytest.raises(UsageError, match=r"captioner\.decoder: .* cannot be loaded"):
        load_decoder(str(tmp_path / "cut" / "decoder"))
    with pytest.raises(UsageError, match=r"captioner\.decoder: .*nothing-here cannot be loaded"):
        load_decoder(str(tmp_path / "nothing-here"))


def test_a_caption_longer_than_the_decoder_is_refused(captioner):
    with pytest.raises(UsageError, match=f"max_new_tokens: the decoder has {LONGEST} positions"):
        captioner.generate(features(1), LONGEST)


def test_damaged_weights_do_not_speak():
    captioner = new_tiny_captioner()
    with torch.no_grad():
        captioner.decoder.get_input_embeddings().weight.fill_(math.nan)
    with pytest.raises(TouchstoneError, match="chances are not numbers"):
        captioner.generate(features(2), 5, 1.0)


class TestGpt2Tokenizer:
    """GPT-2's own: no padding token, and a word of the language, "!", has the id 0 that others pad with."""

    @pytest.fixture(scope="class")
    def captioner(self, shared):
        from transformers import GPT2Config, GPT2LMHeadModel, GPT2TokenizerFast

        folder = shared / "gpt2_bpe" if (shared / "gpt2_bpe").is_dir() else shared / "data" / "gpt2_bpe"
        if not folder.is_dir():
            pytest.skip("GPT-2's vocabulary is not there")
        tokenizer = GPT2TokenizerFast(
            vocab=str(folder / "vocab.json"),
            merges=str(folder / "merges.txt"),
            eos_token="<|endoftext|>",
            bos_token="<|endoftext|>",
            unk_token="<|endoftext|>",
        )
        torch.manual_seed(0)
        decoder = GPT2LMHeadModel(
            GPT2Config(n_embd=8, n_layer=1, n_head=1, n_positions=64, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0)
        )
        return Captioner(Shape(32, 8, prefix_length=2), decoder, tokenizer).eval()

    def test_it_has_no_padding_token(self, captioner):
        assert captioner.tokenizer.pad_token_id is None
        assert captioner.pad == captioner.end == 50256

    def test_an_exclamation_mark_is_learnt(self, captioner):
        from apps.captioning.learning.initialise import text_loss

        assert captioner.tokenizer("!")["input_ids"] == [0]
        captioner.zero_grad()
        text_loss(captioner, features(1), ["!"], 8).backward()
        gradient = captioner.decoder.lm_head.weight.grad
        # Its own row is pulled up, every other one but the end token's is pushed down a little.
        assert float(gradient[0].norm()) > 100 * float(gradient[1000].norm())
        assert float(gradient[captioner.end].norm()) > 100 * float(gradient[1000].norm())

    def test_padding_of_a_batch_changes_no_loss(self, captioner):
        from apps.captioning.learning.initialise import text_loss

        texts, seen = ["Hi!", "A much longer sentence than the other one."], features(2)
        lengths = captioner.encode(texts, 30)[1].sum(1)
        each = torch.stack([text_loss(captioner, seen[row : row + 1], [texts[row]], 30) for row in range(2)])
        together = text_loss(captioner, seen, texts, 30)
        torch.testing.assert_close(together, (each * lengths).sum() / lengths.sum())

    @pytest.mark.parametrize("text", ["Ein grüner Stern!", "赤い星。", "🙂 ok", " leading blank"])
    def test_any_text_comes_back(self, captioner, text):
        tokens, mask = captioner.encode([text], 40)
        assert captioner.decode(tokens, mask) == [text]

    def test_half_a_character_does_not_break_decoding(self, captioner):
        ids = captioner.tokenizer("赤")["input_ids"][:1]
        assert captioner.decode(torch.tensor([ids]), torch.ones(1, 1) > 0) == ["\N{REPLACEMENT CHARACTER}"]


def test_the_tiny_tokenizer_has_all_bytes():
    tokenizer = tiny_tokenizer()
    assert tokenizer.pad_token_id == 0
    assert tokenizer.eos_token_id == len(tokenizer) - 1
