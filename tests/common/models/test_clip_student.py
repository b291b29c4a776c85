"""A student of a CLIP: it sees alike, fast, by itself, and says whose it is."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from common.errors import DataError, UsageError
from common.models.clip import Clip
from common.models.clip_student import ClipStudent, StudentNet, StudentShape, save_student
from common.training.distillation import StudentLearner
from tests.common.models.tiny_clip import TEXTS, tiny_clip_folder

pytest.importorskip("open_clip")


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    return Clip(f"local-dir:{tiny_clip_folder(tmp_path_factory.mktemp('clip') / 'tiny')}")


def pictures(number: int, seed: int = 0) -> np.ndarray:
    """Plain areas of two colours: what a small network can tell apart."""
    rng = np.random.default_rng(seed)
    found = np.repeat(rng.integers(0, 256, (number, 1, 1, 3), np.uint8), 32, 1).repeat(32, 2)
    for one in found:
        one[: rng.integers(4, 28)] = rng.integers(0, 256, 3)
    return found


def to_float(found: np.ndarray) -> Tensor:
    return torch.from_numpy(found).permute(0, 3, 1, 2).float() / 255


def learner(teacher: Clip, seed: int = 0, steps: int = 150) -> StudentLearner:
    torch.manual_seed(seed)
    seen = pictures(256)
    net = StudentNet(StudentShape(32, 8, teacher.dim))
    return StudentLearner(net, seen, teacher.image(to_float(seen)), teacher.text(TEXTS), steps, 32, 1e-2, weight=20.0)


@pytest.fixture(scope="module")
def taught(teacher: Clip) -> StudentLearner:
    found = learner(teacher)
    for _ in range(150):
        found.step()
    return found


@pytest.fixture(scope="module")
def folder(teacher: Clip, taught: StudentLearner, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_student(taught.model.eval(), teacher, TEXTS, tmp_path_factory.mktemp("student") / "mine")


def test_it_sees_new_pictures_as_its_teacher_does(teacher, folder):
    new = to_float(pictures(64, seed=1))
    wanted, said = teacher.image(new), ClipStudent(folder).image(new)
    untaught = StudentNet(StudentShape(32, 8, teacher.dim)).eval()
    other = torch.nn.functional.normalize(untaught(new), dim=-1)
    torch.testing.assert_close(said.norm(dim=1), torch.ones(64))
    assert (said - wanted).square().sum(1).mean() < 0.3 * (other - wanted).square().sum(1).mean()
    texts = teacher.text(TEXTS).T
    # Not only the mean: what sets pictures apart.
    cosines, own = wanted @ texts, said @ texts
    assert np.corrcoef((cosines - cosines.mean(0)).flatten(), (own - own.mean(0)).flatten())[0, 1] > 0.6


def test_a_picture_is_seen_alike_alone_among_others_as_tensor_and_as_file(folder):
    student = ClipStudent(folder, batch_size=3)
    some = pictures(7)
    whole = student.image(to_float(some))
    alone = torch.cat([student.image(to_float(some[row : row + 1])) for row in range(7)])
    torch.testing.assert_close(whole, alone, atol=1e-5, rtol=0)
    torch.testing.assert_close(whole, student.image([Image.fromarray(one) for one in some]), atol=1e-5, rtol=0)
    assert student.image(torch.zeros(0, 3, 32, 32)).shape == (0, student.dim)
    larger = torch.nn.functional.interpolate(to_float(some), (64, 96), mode="nearest")
    assert torch.nn.functional.cosine_similarity(student.image(larger), whole).min() > 0.9


def test_known_texts_need_no_teacher_and_others_ask_it(teacher, folder, monkeypatch):
    student = ClipStudent(folder)
    monkeypatch.setattr(Clip, "_load", lambda self: pytest.fail("the teacher was opened"))
    assert torch.equal(student.text(TEXTS), teacher.text(TEXTS))
    assert student.dim == teacher.dim
    assert student.name.startswith("student mine of local-dir:")
    monkeypatch.undo()
    new = ["a text that nobody taught", TEXTS[0]]
    torch.testing.assert_close(student.text(new), teacher.text(new))
    torch.testing.assert_close(ClipStudent(folder, teacher).text(new), teacher.text(new))
    with pytest.raises(UsageError, match="list of texts"):
        student.text("one text")


def test_another_teacher_is_not_asked(teacher, folder, tmp_path):
    other = ClipStudent(folder, Clip(tiny_clip_folder(tmp_path / "other", seed=5)))
    assert torch.equal(other.text(TEXTS), teacher.text(TEXTS))
    with pytest.raises(UsageError, match="learnt from other weights"):
        other.text(["a text that nobody taught"])


def test_its_fingerprint_is_its_own(teacher, taught, folder, tmp_path):
    student = ClipStudent(folder)
    assert student.fingerprint != teacher.fingerprint
    assert pickle.loads(pickle.dumps(student)).fingerprint == student.fingerprint
    other = StudentNet(StudentShape(32, 8, teacher.dim))
    assert ClipStudent(save_student(other, teacher, TEXTS, tmp_path)).fingerprint != student.fingerprint


def test_a_resumed_training_equals_an_uninterrupted_one(teacher):
    whole, first, second = (learner(teacher, seed, 6) for seed in (0, 0, 1))
    for _ in range(4):
        whole.step()
    for _ in range(2):
        first.step()
    second.restore(first.state())
    for _ in range(2):
        second.step()
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, second.model.state_dict()[name]), name


def test_damaged_folders_are_named(folder, tmp_path):
    with pytest.raises(DataError):
        ClipStudent(tmp_path / "nothing")
    for name, damage in (("student.json", b"{}"), ("student.safetensors", b"x"), ("student.json", b'{"shape": 3}')):
        broken = tmp_path / f"{name}{len(damage)}"
        broken.mkdir()
        for file in folder.iterdir():
            (broken / file.name).write_bytes(damage if file.name == name else file.read_bytes())
        with pytest.raises(DataError, match=broken.name):
            ClipStudent(broken)
    with pytest.raises(UsageError, match="multiple of 16"):
        StudentNet(StudentShape(50, 8, 4))
    with pytest.raises(UsageError, match=r"must be in \[0, 1\]"):
        ClipStudent(folder).image(torch.full((1, 3, 32, 32), 255.0))
