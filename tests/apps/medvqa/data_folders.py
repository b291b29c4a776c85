"""Miniature data sets in the published layouts, for the tests of readers, `prepare` and metrics."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from apps.medvqa.data import Example
from apps.medvqa.data_config import DataConfig
from apps.medvqa.readers import DataSet, read_data_set


def drawn(seed: int, size: tuple[int, int] = (120, 96)) -> Image.Image:
    """A picture of smooth blobs; each seed is another picture."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).convert("RGB")


def content(seed: int, format: str = "PNG", **options: Any) -> bytes:
    """The bytes of such a picture's file."""
    stream = BytesIO()
    drawn(seed).save(stream, format, **options)
    return stream.getvalue()


def picture(path: Path, seed: int = 0) -> Path:
    """Such a picture as a file, in the format of its ending."""
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn(seed).save(path)
    return path


def write(path: Path, text: Any) -> Path:
    """Text as it is, anything else as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((text if isinstance(text, str) else json.dumps(text, ensure_ascii=False)).encode())
    return path


def jsonl(path: Path, *rows: Mapping[str, Any]) -> Path:
    """One row a line."""
    return write(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def table(path: Path, *rows: Mapping[str, Any]) -> Path:
    """CSV with a header."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def rad_row(qid: int, image: str, question: str, answer: Any, **fields: Any) -> dict[str, Any]:
    """As in VQA-RAD's trainset.json."""
    return {
        "qid": qid,
        "image_name": image,
        "image_organ": "CHEST",
        "answer": answer,
        "answer_type": "CLOSED",
        "question_type": "PRES",
        "question": question,
        "phrase_type": "freeform",
        **fields,
    }


def vqa_rad(root: Path) -> Path:
    """Three questions for training (one a frame), one for the test."""
    train = [
        rad_row(1, "synpic1.jpg", "Is there a nodule?", "Yes", answer_type="CLOSED "),
        rad_row(2, "synpic1.jpg", "How many nodules are there? ", 2, answer_type="OPEN", question_type="COUNT"),
        rad_row(3, "synpic1.jpg", "Is/Are there nodules?", "Yes", phrase_type="frame"),
    ]
    write(root / "trainset.json", train)
    write(root / "testset.json", [rad_row(9, "synpic2.jpg", "Is it a chest xray?", "yes", question_type="MODALITY")])
    picture(root / "images" / "synpic1.jpg", 1)
    picture(root / "images" / "synpic2.jpg", 2)
    return root


def slake_row(qid: int, image: int, question: str, answer: Any, **fields: Any) -> dict[str, Any]:
    """As in SLAKE's train.json."""
    return {
        "img_id": image,
        "img_name": f"xmlab{image}/source.jpg",
        "question": question,
        "answer": answer,
        "q_lang": "en",
        "location": "Lung",
        "modality": "X-Ray",
        "answer_type": "OPEN",
        "base_type": "vqa",
        "content_type": "Organ",
        "triple": ["vhead", "_", "_"],
        "qid": qid,
        **fields,
    }


def slake(root: Path) -> Path:
    """Three splits of one picture each; a Chinese question, masks and a knowledge graph."""
    chinese = {"q_lang": "zh", "answer_type": "CLOSED", "content_type": "Abnormality"}
    write(
        root / "train.json",
        [slake_row(0, 1, "Which organ is shown?", "Lung"), slake_row(1, 1, "图中有异常吗?", "没有", **chinese)],
    )
    write(root / "validate.json", [slake_row(2, 2, "Which side is it on?", "Left", content_type="Position")])
    write(root / "test.json", [slake_row(3, 3, "What does it do?", "Breathe", content_type="KG", base_type="kvqa")])
    for image in (1, 2, 3):
        picture(root / "imgs" / f"xmlab{image}" / "source.jpg", 10 + image)
        picture(root / "imgs" / f"xmlab{image}" / "mask.png", 20 + image)
        write(root / "imgs" / f"xmlab{image}" / "question.json", [{"question": "not a table of the data set"}])
    write(root / "KG" / "en_disease.csv", "head#relation#tail\n")
    return root


def path_vqa(root: Path) -> Path:
    """The layout of `pvqa` with its pickles converted; picture names come again in every split."""
    for split, rows in {
        "train": [("train_0001", "What is present?", "necrosis"), ("train_0001", "Is it a lung?", "no")],
        "val": [("val_0001", "Where is it?", "in the cortex")],
        "test": [("test_0001", "Is it benign?", "yes")],
    }.items():
        named = [{"image": image, "question": question, "answer": answer} for image, question, answer in rows]
        write(root / "qas" / split / f"{split}_qa.json", named)
        picture(root / "images" / split / f"{split}_0001.jpg", len(split))
    return root


def vqa_med_2019(root: Path) -> Path:
    """Training and validation by category, the test set with its reference answers."""
    categories = {
        "C1_Modality": "synpic1|what modality is shown?|xr - plain film\nsynpic2|is this an mri image?|no\n",
        "C2_Plane": "synpic1|in what plane is this x-ray?|pa\nsynpic2|what plane is this ct scan in?|axial\n",
        "C3_Organ": "synpic1|what organ system is shown?|lung, mediastinum, pleura\n",
        "C4_Abnormality": "synpic1|what is most alarming?|pneumonia\nsynpic2|is this image normal?|yes\n",
    }
    train = root / "ImageClef-2019-VQA-Med-Training"
    for category, rows in categories.items():
        write(train / "QAPairsByCategory" / f"{category}_train.txt", rows)
    write(train / "All_QA_Pairs_train.txt", "".join(categories.values()))
    for number in (1, 2):
        picture(train / "Train_images" / f"synpic{number}.jpg", 30 + number)
    test = root / "VQAMed2019Test"
    write(test / "VQAMed2019_Test_Questions.txt", "synpic3|what is wrong?\r\nsynpic4|what modality is it?\r\n")
    write(
        test / "VQAMed2019_Test_Questions_w_Ref_Answers.txt",
        "synpic3|abnormality|what is wrong?|(septic) emboli#stroke\r\n"
        "synpic4|modality|what modality is it?|ct (iv)\r\n",
    )
    for number in (3, 4):
        picture(test / "VQAMed2019_Test_Images" / f"synpic{number}.jpg", 30 + number)
    return root


def vqa_med_2021(root: Path) -> Path:
    """The training and validation sets of 2020, and the validation and test sets of 2021."""
    for part, number in (("Train", 1), ("Val", 2)):
        folder = root / f"2020-{part}"
        write(folder / f"VQAnswering_2020_{part}_QA_pairs.txt", f"synpic{number}|what is abnormal?|pneumonia\n")
        picture(folder / f"VQAnswering_2020_{part}_images" / f"synpic{number}.jpg", 40 + number)
    new = root / "VQA-Med-2021-Tasks-1-2-NewValidationSets"
    rows = 'synpic3|what is seen?|"a ""drowned"" lobe"\n'
    write(new / "VQA-Med-2021-VQAnswering-Task1-New-ValidationSet.txt", rows)
    write(new / "VQA-Med-2021-VQGeneration-Task2-New-ValidationSet.txt", "synpic3|is it normal?\n")
    picture(new / "ImageCLEF-2021-VQA-Med-New-Validation-Images" / "synpic3.jpg", 43)
    test = root / "Task1-VQA-2021-TestSet-w-GroundTruth"
    write(test / "Task1-VQA-2021-TestSet-Questions.txt", "synpic4|what is abnormal in the ct scan?\n")
    write(test / "Task1-VQA-2021-TestSet-ReferenceAnswers.txt", "synpic4|embolism|pulmonary embolus|embolism\n")
    picture(test / "VQA-500-Images" / "synpic4.jpg", 44)
    return root


def pmc_row(figure: str, question: str, label: str, answer: str = "", **fields: Any) -> dict[str, Any]:
    """As in PMC-VQA's train.csv."""
    choices = {"Choice A": " A:liver", "Choice B": " B:lung", "Choice C": " C:spleen", "Choice D": " D:none of these"}
    return {"Figure_path": figure, "Question": question, "Answer": answer, **choices, "Answer_label": label, **fields}


def pmc_vqa(root: Path) -> Path:
    """Both versions and the cleaned test set."""
    table(root / "train.csv", pmc_row("PMC1_F1.jpg", "Which organ is it?", "B", "lung"))
    table(root / "test.csv", pmc_row("PMC2_F1.jpg", "Which organ is it?", "A", "liver"))
    table(root / "test_clean.csv", pmc_row("PMC2_F1.jpg", "Which organ is it now?", "A", "liver"))
    second = pmc_row("PMC3_F1.jpg", "Which organ, again?", "", "C", index=7, Caption="A spleen.", split="train")
    del second["Answer_label"]
    table(root / "train_2.csv", second)
    for number in (1, 2, 3):
        picture(root / "images" / f"PMC{number}_F1.jpg", 50 + number)
    return root


def omni_row(id: str, image: str, answer: str, *options: str, **fields: Any) -> dict[str, Any]:
    """As in OmniMedVQA's QA_information."""
    named = {f"option_{letter}": option for letter, option in zip("ABCD", options, strict=False)}
    return {
        "dataset": "ACRIMA",
        "question_id": id,
        "question_type": "Modality Recognition",
        "question": "What imaging technique was used?",
        "gt_answer": answer,
        "image_path": image,
        **named,
        "modality_type": "Fundus Photography",
        **fields,
    }


def omni_med_vqa(root: Path) -> Path:
    """Two data sets; pictures of one name in both."""
    first = omni_row("acrima_1", "Images/ACRIMA/1.png", "Fundus imaging", "PET", "Fundus imaging.")
    second = omni_row(
        "chest_1", "Images/Chest  CT/1.png", "No, It's normal.", "Yes", "No, It's normal.", "Cannot tell"
    )
    second.update(dataset="Chest CT", question_type="Disease Diagnosis", modality="CT(Computed Tomography)")
    del second["modality_type"]
    write(root / "QA_information" / "Open-access" / "ACRIMA.json", [first])
    write(root / "QA_information" / "Open-access" / "Chest CT Scan.json", [second])
    picture(root / "Images" / "ACRIMA" / "1.png", 61)
    picture(root / "Images" / "Chest  CT" / "1.png", 62)
    return root


def rows(root: Path) -> Path:
    """Our own JSONL: without, with one and with two pictures."""
    for number in (1, 2):
        picture(root / "pictures" / f"{number}.png", 70 + number)
    both = ["pictures/1.png", "pictures/2.png"]
    return jsonl(
        root / "own.jsonl",
        {"id": "a", "question": "Which side?", "answer": "left", "image": "pictures/1.png", "split": "train"},
        {"id": "b", "question": "What changed?", "answer": "nothing", "pictures": both, "split": "test"},
        {"id": "c", "question": "Is pneumonia catching?", "answer": "yes", "split": "test"},
    )


#: Makes a miniature data set of each format in a folder, and gives its path.
FOLDERS: Mapping[str, Callable[[Path], Path]] = {
    "jsonl": rows,
    "vqa_rad": vqa_rad,
    "slake": slake,
    "path_vqa": path_vqa,
    "vqa_med_2019": vqa_med_2019,
    "vqa_med_2021": vqa_med_2021,
    "pmc_vqa": pmc_vqa,
    "omni_med_vqa": omni_med_vqa,
}


def read(path: Path, format: str, **settings: Any) -> DataSet:
    return read_data_set(DataConfig(format=format, path=str(path), **settings))  # type: ignore[arg-type]


def by_id(found: DataSet) -> dict[str, Example]:
    return {example.id: example for example in found.examples}


def kinds(found: DataSet) -> list[str]:
    return [problem.kind for problem in found.problems]
