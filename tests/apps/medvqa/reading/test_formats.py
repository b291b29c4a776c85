"""Each published data set in its own layout."""

from __future__ import annotations

import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from apps.medvqa.reading.vocabulary import (
    kind_of,
)
from common.errors import DataError, UsageError
from tests.apps.medvqa.data_folders import (
    FOLDERS,
    by_id,
    content,
    jsonl,
    kinds,
    omni_row,
    path_vqa,
    picture,
    pmc_row,
    pmc_vqa,
    rad_row,
    read,
    slake,
    slake_row,
    table,
    vqa_med_2019,
    vqa_med_2021,
    vqa_rad,
    write,
)

# VQA-RAD


def test_vqa_rad_types_and_tags(tmp_path: Path) -> None:
    found = read(vqa_rad(tmp_path), "vqa_rad")
    assert found.passed_over == Counter({"phrase type frame": 1})
    first, second, test = found.examples
    assert (first.id, first.kind, first.question_type, first.organ, first.split) == (
        "1",
        "closed",
        "presence",
        "chest",
        "train",
    )
    assert (second.answer, second.kind, second.question_type) == ("2", "open", "count")
    assert second.question == "How many nodules are there?"
    assert (test.split, test.modality, test.tags["inferred"]) == ("test", "xray", "modality")
    assert first.modality == ""


@pytest.mark.parametrize(
    ("phrase_types", "ids"),
    [
        ([], "1 2 3 9"),
        (["freeform"], "1 2 9"),
        (["frame"], "3"),
        (["paraphrase"], ""),
        (["freeform", "frame"], "1 2 3 9"),
    ],
)
def test_vqa_rad_phrase_types(tmp_path: Path, phrase_types: list[str], ids: str) -> None:
    path = vqa_rad(tmp_path)
    if not ids:
        with pytest.raises(DataError, match=r"3 phrase type freeform"):
            read(path, "vqa_rad", phrase_types=phrase_types)
    else:
        assert [own.id for own in read(path, "vqa_rad", phrase_types=phrase_types).examples] == ids.split()
    with pytest.raises(UsageError, match="there is no farme"):
        read(path, "vqa_rad", phrase_types=["farme"])


def test_what_a_picture_is_not_says_nothing_of_its_modality(tmp_path: Path) -> None:
    path = vqa_rad(tmp_path)
    question = "What type of imaging does this not represent?"
    row = rad_row(9, "synpic2.jpg", question, "ultrasound", question_type="MODALITY", answer_type="OPEN")
    write(path / "testset.json", [row])
    assert read(path, "vqa_rad", split="test").examples[0].modality == ""


def test_vqa_rad_public_file_splits_by_phrase_type(tmp_path: Path) -> None:
    rows = [
        rad_row(1, "synpic1.jpg", "Is there a nodule?", "Yes", question_frame="Is/Are there nodules?"),
        rad_row(2, "synpic1.jpg", "Are nodules seen?", "Yes", phrase_type="para", question_frame="NULL"),
        rad_row(3, "synpic2.jpg", "Is it big?", "No", phrase_type="test_freeform", question_frame="Is/Are it big?"),
        rad_row(4, "synpic2.jpg", "Is it large?", "No", phrase_type="test_para", image_case_url="https://x/case?id=4"),
    ]
    write(tmp_path / "VQA_RAD Dataset Public.json", rows)
    for number in (1, 2):
        picture(tmp_path / "VQA_RAD Image Folder" / f"synpic{number}.jpg", number)
    for path in (tmp_path, tmp_path / "VQA_RAD Dataset Public.json"):
        found = read(path, "vqa_rad").examples
        assert [(own.id, own.split, own.tags["phrase_type"]) for own in found] == [
            ("1", "train", "freeform"),
            ("2", "train", "para"),
            ("3", "test", "freeform"),
            ("4", "test", "para"),
        ]
        assert [own.study for own in found] == ["synpic1", "synpic1", "synpic2", "https://x/case?id=4"]
        assert [own.id for own in read(path, "vqa_rad", split="test").examples] == ["3", "4"]
        framed = read(path, "vqa_rad", phrase_types=["frame"]).examples
        assert [(own.id, own.question) for own in framed] == [("1-frame", "Is/Are there nodules?")]


def test_vqa_rad_as_the_hub_has_it(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    arrow = pytest.importorskip("pyarrow")
    image = {"bytes": content(1), "path": None}
    rows = [
        {"image": image, "question": "is it big?", "answer": "no"},
        {"image": image, "question": "what?", "answer": "x"},
    ]
    (tmp_path / "data").mkdir()
    for split, part in (("train", rows), ("test", rows[:1])):
        parquet.write_table(arrow.Table.from_pylist(part), tmp_path / "data" / f"{split}-00000-of-00001-ab12.parquet")
    found = read(tmp_path, "vqa_rad").examples
    assert [(own.id, own.split, own.kind) for own in found] == [
        ("train-0", "train", "closed"),
        ("train-1", "train", "open"),
        ("test-0", "test", "closed"),
    ]
    assert found[0].pictures == (content(1),)
    assert len({own.study for own in found}) == 1


def test_all_of_vqa_rad(shared: Path) -> None:
    found = read(shared / "data" / "vqa_rad", "vqa_rad")
    assert (found.read, len(found.examples), found.problems) == (3515, 2248, [])
    assert Counter(own.split for own in found.examples) == {"train": 1797, "test": 451}
    assert Counter(own.kind for own in found.examples if own.split == "test") == {"closed": 272, "open": 179}
    assert found.passed_over == Counter({"phrase type frame": 1267})
    assert len({own.study for own in found.examples}) == 314
    inferred = [own.kind == kind_of("", own.question, own.answer) for own in found.examples]
    assert sum(inferred) / len(inferred) > 0.99


# SLAKE


def test_slake_splits_languages_and_types(tmp_path: Path) -> None:
    found = by_id(read(slake(tmp_path), "slake"))
    assert {id: own.split for id, own in found.items()} == {"0": "train", "1": "train", "2": "validation", "3": "test"}
    assert (found["0"].organ, found["0"].modality, found["0"].study) == ("chest", "xray", "xmlab1")
    assert (found["1"].language, found["1"].kind, found["1"].question_type) == ("zh", "closed", "abnormality")
    assert (found["2"].question_type, found["3"].question_type) == ("side", "knowledge")
    assert found["0"].pictures[0] == tmp_path / "imgs" / "xmlab1" / "source.jpg"


def test_slake_in_one_language(tmp_path: Path) -> None:
    found = read(slake(tmp_path), "slake", languages=["zh"])
    assert [own.id for own in found.examples] == ["1"]
    assert found.passed_over.total() == 3


@pytest.mark.parametrize("answer", [None, "", "  ", float("nan")])
def test_a_row_without_an_answer_is_named(tmp_path: Path, answer: Any) -> None:
    path = slake(tmp_path)
    write(
        path / "test.json", [slake_row(3, 3, "What is it?", "Lung"), slake_row(4, 3, "Does it show a liver?", answer)]
    )
    found = read(path, "slake", split="test")
    assert [own.id for own in found.examples] == ["3"]
    assert [(own.id, own.kind, own.where) for own in found.problems] == [("4", "no_answer", "test.json: row 1")]


def test_a_split_that_hides_its_answers_is_kept(tmp_path: Path) -> None:
    path = slake(tmp_path)
    write(path / "test.json", [slake_row(3, 3, "What is it?", None), slake_row(4, 3, "And this?", None)])
    found = read(path, "slake")
    assert [own.references for own in found.examples if own.split == "test"] == [(), ()]


def test_ids_that_come_twice(tmp_path: Path) -> None:
    path = slake(tmp_path)
    row = slake_row(3, 3, "What is it?", "Lung")
    write(path / "test.json", [row, row, slake_row(3, 3, "What else?", "Heart"), [1]])
    found = read(path, "slake", split="test")
    assert [own.id for own in found.examples] == ["3", "3-2"]
    assert sorted(kinds(found)) == ["duplicate", "malformed", "renamed"]
    assert found.read == 4


def test_all_of_slake(shared: Path) -> None:
    found = read(shared / "data" / "slake_questions", "slake", missing_pictures="keep")
    assert (found.read, len(found.examples)) == (14028, 14027)
    assert Counter(kinds(found)) == {"without_picture": 14027, "no_answer": 1}
    assert Counter(own.language for own in found.examples) == {"en": 7032, "zh": 6995}
    english = [own for own in found.examples if own.language == "en"]
    assert sum(own.kind == kind_of("", own.question, own.answer) for own in english) / len(english) > 0.99


# PathVQA


def test_path_vqa(tmp_path: Path) -> None:
    found = by_id(read(path_vqa(tmp_path), "path_vqa"))
    assert {id: own.kind for id, own in found.items()} == {
        "train-0": "open",
        "train-1": "closed",
        "validation-0": "open",
        "test-0": "closed",
    }
    assert found["train-0"].modality == "pathology"
    assert found["test-0"].pictures[0] == tmp_path / "images" / "test" / "test_0001.jpg"


def test_pickles_are_not_opened_but_explained(tmp_path: Path) -> None:
    file = tmp_path / "qas" / "train" / "train_qa.pkl"
    file.parent.mkdir(parents=True)

    class Boom:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "opened",))

    file.write_bytes(pickle.dumps([Boom()]))
    for path in (tmp_path, file):
        with pytest.raises(DataError, match=r"train_qa\.pkl.*pickles are not read.*train_qa\.json"):
            read(path, "path_vqa")
    assert not (tmp_path / "opened").exists()


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".csv", ".tsv"])
def test_path_vqa_tables(tmp_path: Path, suffix: str) -> None:
    rows = [{"image": "1.png", "question": 'Is it "a", b?', "answer": "No"}]
    picture(tmp_path / "1.png")
    file = tmp_path / f"test{suffix}"
    if suffix == ".json":
        write(file, rows)
    elif suffix == ".jsonl":
        jsonl(file, *rows)
    else:
        table(file, *rows)
        if suffix == ".tsv":
            write(file, 'image\tquestion\tanswer\n1.png\t"Is it ""a"", b?"\tNo\n')
    found = read(tmp_path, "path_vqa").examples
    assert [(own.question, own.answer, own.split) for own in found] == [('Is it "a", b?', "No", "test")]


def test_a_broken_table_is_named(tmp_path: Path) -> None:
    write(tmp_path / "train.json", '[{"image": "1.png"')
    with pytest.raises(DataError, match=r"train\.json:1: not JSON"):
        read(tmp_path, "path_vqa")
    write(tmp_path / "train.json", '{"image": "1.png"}')
    with pytest.raises(DataError, match=r"expected a list of rows, found dict"):
        read(tmp_path, "path_vqa")
    (tmp_path / "train.json").unlink()
    (tmp_path / "train.csv").write_bytes(b"image,question,answer\n1.png,caf\xe9?,x\n")
    with pytest.raises(DataError, match=r"train\.csv:2: not UTF-8"):
        read(tmp_path, "path_vqa")
    (tmp_path / "train.csv").unlink()
    (tmp_path / "train.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match=r"train\.parquet: not Parquet"):
        read(tmp_path, "path_vqa")


def test_a_row_with_too_many_columns_is_left_out(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", "image,question,answer\n1.png,one, two,x\n1.png,what?,y\n")
    picture(tmp_path / "1.png")
    found = read(tmp_path, "path_vqa")
    assert [own.answer for own in found.examples] == ["y"]
    assert [(own.kind, own.where) for own in found.problems] == [("malformed", "train.csv: line 2")]


# VQA-Med


def test_vqa_med_2019_categories_and_what_they_say_of_a_picture(tmp_path: Path) -> None:
    found = read(vqa_med_2019(tmp_path), "vqa_med_2019", split="train").examples
    first = [own for own in found if own.study == "synpic1"]
    assert [own.question_type for own in first] == ["modality", "plane", "organ", "abnormality"]
    assert {(own.modality, own.organ) for own in first} == {("xray", "chest")}
    assert [own.id for own in first] == ["synpic1-1", "synpic1-2", "synpic1-3", "synpic1-4"]
    second = {own.question_type: own for own in found if own.study == "synpic2"}
    assert second["plane"].modality == "ct"
    assert second["modality"].modality == ""  # "is this an mri image? no" does not say what it is
    assert (second["abnormality"].kind, second["plane"].kind) == ("closed", "open")


def test_vqa_med_2019_answers_of_the_test_set(tmp_path: Path) -> None:
    found = read(vqa_med_2019(tmp_path), "vqa_med_2019", split="test").examples
    assert [(own.id, own.references) for own in found] == [
        ("synpic3", ("septic emboli", "emboli", "stroke")),
        ("synpic4", ("ct iv", "ct")),
    ]


def test_vqa_med_2019_all_pairs_in_one_file(tmp_path: Path) -> None:
    path = vqa_med_2019(tmp_path) / "ImageClef-2019-VQA-Med-Training"
    for file in (path / "QAPairsByCategory").iterdir():
        file.unlink()
    found = read(path, "vqa_med_2019").examples
    assert len(found) == 7
    assert {own.split for own in found} == {"train"}
    assert found[0].question_type == "modality"
    assert found[0].tags["inferred"].startswith("question_type")


def test_vqa_med_rows_that_are_none(tmp_path: Path) -> None:
    path = vqa_med_2019(tmp_path) / "VQAMed2019Test"
    file = path / "VQAMed2019_Test_Questions_w_Ref_Answers.txt"
    write(file, "synpic3|abnormality|what is wrong?|stroke\nno columns\n\n|plane|which?|axial\nsynpic4|plane||axial\n")
    found = read(path, "vqa_med_2019")
    assert [own.id for own in found.examples] == ["synpic3"]
    assert [(own.kind, own.where.rpartition(" ")[2]) for own in found.problems] == [
        ("malformed", "2"),
        ("malformed", "4"),
        ("no_question", "5"),
    ]


def test_vqa_med_2021(tmp_path: Path) -> None:
    found = by_id(read(vqa_med_2021(tmp_path), "vqa_med_2021"))
    splits = {"synpic1": "train", "synpic2": "train", "synpic3": "validation", "synpic4": "test"}
    assert {id: own.split for id, own in found.items()} == splits
    assert found["synpic3"].answer == 'a "drowned" lobe'
    assert found["synpic4"].references == ("embolism", "pulmonary embolus")
    assert {own.question_type for own in found.values()} == {"abnormality"}
    assert found["synpic4"].modality == "ct"


# Multiple choice


def test_pmc_vqa_versions(tmp_path: Path) -> None:
    path = pmc_vqa(tmp_path)
    found = read(path, "pmc_vqa").examples
    assert [(own.id, own.split, own.answer, own.letter) for own in found] == [
        ("train-0", "train", "lung", "B"),
        ("test-0", "test", "liver", "A"),
    ]
    assert found[0].choices == ("liver", "lung", "spleen", "none of these")
    assert found[0].study == "PMC1"
    second = read(path, "pmc_vqa", split="train_2").examples[0]
    assert (second.id, second.split, second.letter, second.tags["caption"]) == ("train_2-7", "train", "C", "A spleen.")
    assert read(path, "pmc_vqa", split="test_clean").examples[0].question == "Which organ is it now?"
    assert read(path / "train_2.csv", "pmc_vqa").examples[0].answer == "spleen"


def test_pmc_vqa_answers_that_do_not_fit(tmp_path: Path) -> None:
    rows = [
        pmc_row("PMC1_F1.jpg", "One?", "B", "a lung"),
        pmc_row("PMC1_F1.jpg", "Two?", "E", "lungs"),
        pmc_row("PMC1_F1.jpg", "Three?", "B", "Lung."),
        pmc_row("PMC1_F1.jpg", "Four?", "", "B: lung"),
        {**pmc_row("PMC1_F1.jpg", "Five?", "A", "liver"), "Choice B": ""},
    ]
    table(tmp_path / "train.csv", *rows)
    picture(tmp_path / "images" / "PMC1_F1.jpg")
    found = read(tmp_path, "pmc_vqa")
    assert [(own.question, own.letter) for own in found.examples] == [("One?", "B"), ("Three?", "B"), ("Four?", "B")]
    assert [(own.kind, own.where[-1]) for own in found.problems] == [
        ("answer_differs", "2"),
        ("bad_choice", "3"),
        ("bad_choice", "6"),
    ]


def test_pmc_vqa_as_a_mirror_spells_it(tmp_path: Path) -> None:
    row = {name.lower().replace("figure_path", "image"): value for name, value in pmc_row("1.jpg", "Q?", "B").items()}
    row["anwser"] = row.pop("answer") or "lung"
    table(tmp_path / "train.csv", row)
    picture(tmp_path / "1.jpg")
    assert read(tmp_path, "pmc_vqa").examples[0].letter == "B"


def test_omni_med_vqa(tmp_path: Path) -> None:
    found = by_id(read(FOLDERS["omni_med_vqa"](tmp_path), "omni_med_vqa"))
    first, second = found["acrima_1"], found["chest_1"]
    assert (first.letter, first.answer, first.modality, first.question_type) == (
        "B",
        "Fundus imaging.",
        "fundus",
        "modality",
    )
    assert (second.letter, second.modality, second.question_type) == ("B", "ct", "abnormality")
    assert second.pictures[0] == tmp_path / "Images" / "Chest  CT" / "1.png"
    assert first.tags == {"data_set": "ACRIMA", "access": "Open-access", "question_type": "Modality Recognition"}


def test_omni_med_vqa_options_that_are_letters(tmp_path: Path) -> None:
    write(tmp_path / "some.json", [omni_row("a", "1.png", "B", "A", "C", "B")])
    picture(tmp_path / "1.png")
    assert by_id(read(tmp_path / "some.json", "omni_med_vqa"))["a"].answer == "B"


def test_omni_med_vqa_answer_that_is_no_option(tmp_path: Path) -> None:
    rows = [omni_row("a", "1.png", "MRI", "CT", "MRI"), omni_row("b", "1.png", "PET", "CT", "MRI")]
    write(tmp_path / "some.json", rows)
    picture(tmp_path / "1.png")
    found = read(tmp_path / "some.json", "omni_med_vqa")
    assert [own.id for own in found.examples] == ["a"]
    assert kinds(found) == ["bad_choice"]
