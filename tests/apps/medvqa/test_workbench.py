"""What the demo does, without a page: phantoms of any wish, uploads, the exact truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.medvqa import workbench
from apps.medvqa.assistant import Answer
from apps.medvqa.pocket import Study, phantom
from apps.medvqa.pocket.catalogue import HELD_OUT, KINDS, ORGANS, SIDES
from apps.medvqa.workbench import Truth, Wish, Workbench, accept_upload, make_phantom, menu, random_wish
from common.errors import DataError, UsageError
from tests.apps.medvqa.pictures import ct, png, uploaded
from tests.apps.medvqa.scripted import Scripted
from tests.common.dicom.dicoms import data_set, saved
from tests.common.headers import png_header

WHERE = "Where is the nodule?"


class TestPhantoms:
    @settings(max_examples=200, deadline=None)
    @given(
        organ=st.sampled_from([*ORGANS, "", "spleen"]),
        finding=st.sampled_from(["", "lung", *(kind.name for kind in KINDS)]),
        side=st.sampled_from(["", "up", *SIDES]),
        zone=st.sampled_from(["", *(zone for organ in ORGANS.values() for zone in organ.zones)]),
        size=st.integers(-5, 99),
        count=st.integers(-1, 5),
        seed=st.integers(0, 10**9),
    )
    def test_whatever_is_chosen_becomes_a_phantom(self, **chosen: Any) -> None:
        offered = menu(Wish(*chosen.values()))
        wish = offered.wish
        _, study = make_phantom(wish)
        assert menu(wish) == offered
        if wish.finding:
            (finding,) = study.findings
            assert (finding.kind, finding.side, finding.zone) == (wish.finding, wish.side, wish.zone)
            assert (finding.size_mm, finding.count) == (wish.size_mm, wish.count)
        assert wish.finding in offered.findings
        assert wish.count in offered.counts
        assert not offered.sizes or wish.size_mm in offered.sizes

    def test_choices_that_go_together_are_kept(self) -> None:
        wish = Wish("leg", "lytic lesion", "left", "distal third", 15, 2, 7)
        assert menu(wish).wish == wish
        # A third lesion is small; two are no longer than the pair of sizes allows.
        assert menu(Wish("leg", "lytic lesion", "left", "distal third", 15, 3, 7)).wish.size_mm == 10
        assert menu(Wish("kidney", "", "left")).wish == Wish("kidney", "", "left", "", 0, 1, 0)

    def test_random_ones_differ_and_are_held_out_where_asked(self) -> None:
        wishes = [random_wish(held=True) for _ in range(40)]
        assert all(make_phantom(wish)[1].held for wish in wishes)
        assert {(wish.organ, wish.finding, wish.side, wish.zone) for wish in wishes} <= HELD_OUT
        assert len({make_phantom(random_wish())[1].organ for _ in range(60)}) == len(ORGANS)


class TestUploads:
    def test_a_picture_is_taken_in_and_its_file_is_gone(self, tmp_path: Path) -> None:
        for name, content in (
            ("a.png", png()),
            ("b.jpg", png(kind="JPEG")),
            ("c.tif", png(kind="TIFF")),
            ("scan", ct()),
        ):
            path = uploaded(tmp_path, name, content)
            view = accept_upload(path, tmp_path)
            assert view.name == name
            assert list(tmp_path.iterdir()) == []
            assert view.seen().mode == "RGB"

    @pytest.mark.parametrize(
        ("name", "content", "reason"),
        [
            ("empty.png", b"", "empty"),
            ("notes.png", b"only its name says so", "no picture in a format that is read here: PNG, JPEG"),
            ("torn.png", png(size=(300, 300), colour=(1, 2, 3))[:300], "broken or cut off"),
            ("torn.dcm", ct()[:900], "broken or cut off"),
            ("named.dcm", b"only its name says so", "no picture in a format that is read here: PNG, JPEG"),
            (
                "page.eps",
                b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
                "no picture in a format that is read here: PNG, JPEG",
            ),
        ],
    )
    def test_what_is_no_picture_is_refused_by_its_own_name(
        self, tmp_path: Path, name: str, content: bytes, reason: str
    ) -> None:
        path = uploaded(tmp_path, name, content)
        with pytest.raises(DataError) as raised:
            accept_upload(path, tmp_path)
        assert str(raised.value).startswith(f"{name}: ")
        assert reason in str(raised.value)
        assert str(tmp_path) not in str(raised.value)
        assert list(tmp_path.iterdir()) == []

    def test_too_many_bytes_or_pixels(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(DataError, match=r"^bomb\.png: more than 50 million pixels"):
            accept_upload(uploaded(tmp_path, "bomb.png", png_header(60_000, 20_000)), tmp_path)
        monkeypatch.setattr(workbench, "MOST_PIXELS", 64 * 48 - 1)
        with pytest.raises(DataError, match=r"^scan\.dcm: more than 0 million pixels"):
            accept_upload(uploaded(tmp_path, "scan.dcm", ct()), tmp_path)
        made = data_set(np.zeros((512, 512), np.uint16))
        made.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1.99"
        with pytest.raises(DataError, match=r"^packed\.dcm: it unpacks to more than"):
            accept_upload(uploaded(tmp_path, "packed.dcm", saved(made)), tmp_path)
        monkeypatch.setattr(workbench, "LARGEST_UPLOAD", 10)
        with pytest.raises(DataError, match=r"^a\.png: larger than"):
            accept_upload(uploaded(tmp_path, "a.png", png()), tmp_path)
        assert list(tmp_path.iterdir()) == []

    def test_nothing_but_uploads_is_read_or_removed(self, tmp_path: Path) -> None:
        folder, secret = tmp_path / "uploads", tmp_path / "secret.png"
        folder.mkdir()
        secret.write_bytes(png())
        (folder / "link.png").symlink_to(secret)
        for path in (secret, folder / ".." / "secret.png", folder / "link.png", folder, folder / "nowhere.png"):
            with pytest.raises(UsageError, match="only a file that was uploaded"):
                accept_upload(path, folder)
        assert secret.read_bytes() == png()


def test_truth_needs_an_answer_for_a_verdict() -> None:
    bench = Workbench(Scripted({}))
    study: Study = phantom("nodule", "right", "upper zone", 30)
    assert bench.truth(study, WHERE, None) == Truth("right upper zone", None)
    assert bench.truth(study, WHERE, Answer.of(WHERE, "upper zone on the right")) == Truth("right upper zone", True)
    assert bench.truth(study, "Why?", None) == Truth()
