"""The discriminator as a reward: its logit, the same in any batch, with nothing lost unnoticed."""

from __future__ import annotations

import math
import pickle
import shutil
from pathlib import Path

import pytest
import torch

from common.errors import DataError, RewardError, UsageError
from common.models.clip import compact_tokenizer
from common.rewards import check_reward
from common.rewards.trained.discriminator import Classifier, Discriminator

transformers = pytest.importorskip("transformers")

TEXTS = ["a red circle", "a blue square to the left of a red circle", "circle circle circle", "two crosses", "x"]


def save_discriminator(folder: Path, outputs: int = 1) -> Path:
    torch.manual_seed(0)
    tokenizer = compact_tokenizer(TEXTS, 300, context_length=24)
    config = transformers.RobertaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=40,
        pad_token_id=tokenizer.pad_token_id,
        num_labels=outputs,
    )
    model = transformers.RobertaForSequenceClassification(config)
    with torch.no_grad():
        # A fresh head says nearly the same of every text.
        for weight in model.parameters():
            if weight.ndim == 2:
                weight.mul_(20)
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_discriminator(tmp_path_factory.mktemp("discriminator"))


def logits(folder: Path, texts: list[str]) -> torch.Tensor:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        return torch.cat([model(**tokenizer([text], return_tensors="pt")).logits[:, 0] for text in texts])


def test_the_value_is_the_models_logit(folder: Path) -> None:
    reward = Discriminator(folder, limits=(-100.0, 100.0))
    expected = logits(folder, TEXTS)
    assert expected.std() > 0.1
    torch.testing.assert_close(reward(completion=TEXTS).values, expected, atol=1e-4, rtol=1e-5)
    single = torch.cat([reward(completion=[text]).values for text in TEXTS])
    torch.testing.assert_close(single, expected, atol=1e-4, rtol=1e-5)


def test_probability_and_limits(folder: Path) -> None:
    expected = logits(folder, TEXTS)
    torch.testing.assert_close(Discriminator(folder, form="probability")(completion=TEXTS).values, expected.sigmoid())
    low, high = expected.sort().values[[1, 3]].tolist()
    cut = Discriminator(folder, limits=(low, high))(completion=TEXTS).values
    torch.testing.assert_close(cut, expected.clamp(low, high), atol=1e-4, rtol=1e-5)


def test_the_contract(folder: Path) -> None:
    for reward in (Discriminator(str(folder)), Discriminator(folder, form="probability", text="caption")):
        check_reward(reward, {"completion": TEXTS, "caption": TEXTS})
        assert len(pickle.dumps(reward)) < 1000


def test_duplicates_are_read_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, read = Classifier(folder, batch_size=2), []
    real = Classifier._batch
    monkeypatch.setattr(Classifier, "_batch", lambda self, texts: read.append(list(texts)) or real(self, texts))
    values = Discriminator(model)(completion=["x", "a red circle", "x", "two crosses", "x"]).values
    assert sorted(text for texts in read for text in texts) == ["a red circle", "two crosses", "x"]
    assert [len(texts) for texts in read] == [2, 1]
    assert values[0] == values[2] == values[4]


def test_empty_texts_are_the_policys_fault(folder: Path) -> None:
    for reward in (Discriminator(folder), Discriminator(folder, form="probability")):
        output = reward(completion=["", " \n", "x"])
        assert output.values[:2].tolist() == [reward.bounds[0]] * 2
        assert output.info["reason"][:2] == ["the completion is empty"] * 2
        assert output.info["reason"][2] == ""
        assert reward(completion=[]).values.shape == (0,)


def test_a_failing_model_is_nan(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reward = Discriminator(folder)
    monkeypatch.setattr(reward.model, "_batch", lambda texts: torch.tensor([math.nan, math.inf, 1.0]))
    output = reward(completion=["a", "bb", "ccc", ""])
    assert output.values.isnan().tolist() == [True, True, False, False]
    assert "no number" in output.info["reason"][0]

    def fail(texts: list[str]) -> torch.Tensor:
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(reward.model, "_batch", fail)
    assert reward(completion=["a", ""]).values.isnan().tolist() == [True, False]


def test_long_texts_are_cut_and_counted(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = Classifier(folder)
    reward = Discriminator(model)
    fits = " ".join(["circle"] * 22)
    values = reward(completion=[fits, f"{fits} x", f"{fits} a red circle", "x"]).values
    assert model.truncated == 2
    assert values[0] == pytest.approx(values[1].item()) == pytest.approx(values[2].item())
    assert len([record for record in caplog.records if "longer than 24" in record.message]) == 1


def test_any_string_is_a_text_and_nothing_else(folder: Path) -> None:
    reward = Discriminator(folder)
    assert reward(completion=["\ud83d", "\x00", "東京", "<end_of_text>"]).values.isfinite().all()
    with pytest.raises(RewardError, match="NoneType"):
        reward(completion=["a", None])


def test_wrong_models_are_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no config\.json"):
        Discriminator(tmp_path)(completion=["a"])
    with pytest.raises(UsageError, match="folder or a hub id"):
        Discriminator(tmp_path / "absent")(completion=["a"])
    with pytest.raises(DataError, match="2 outputs"):
        Discriminator(save_discriminator(tmp_path / "two", outputs=2))(completion=["a"])
    # An encoder without its head: transformers would make the head up.
    headless = shutil.copytree(folder, tmp_path / "headless")
    transformers.AutoModel.from_pretrained(folder).save_pretrained(headless)
    with pytest.raises(DataError, match=r"missing.*classifier"):
        Discriminator(headless)(completion=["a"])
    for options in ({"form": "odds"}, {"limits": (1.0, 1.0)}):
        with pytest.raises(RewardError):
            Discriminator(folder, **options)  # type: ignore[arg-type]
