from __future__ import annotations

import json
import shutil
import subprocess
import unicodedata
from pathlib import Path

import pytest

from common.ptb import _lexed, tokenize

#: What COCO's wrapper drops from the jar's output.
PUNCTUATION = {"''", "'", "``", "`", "-LRB-", "-RRB-", "-LCB-", "-RCB-"} | {*".?!,:;-", "--", "..."}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A dog runs.", "a dog runs"),
        ("A dog , a cat ; and : a bird !", "a dog a cat and a bird"),
        ("I don't, can't and won't; we cannot.", "i do n't ca n't and wo n't we can not"),
        ("The dog's ball, the dogs' balls, a dog 's ball", "the dog 's ball the dogs balls a dog 's ball"),
        ("He'll gonna say it's they've I'd 'tis", "he 'll gon na say it 's they 've i 'd 't is"),
        ('A sign says "Look Right" (twice)', "a sign says look right -lrb- twice -rrb-"),
        ("a tri-colored jack-o-lantern -- a - b a-", "a tri-colored jack-o-lantern a b a"),
        ("Mr. Smith of the U.S. at 5 p.m. with J. Doe.", "mr. smith of the u.s. at 5 p.m. with j. doe"),
        ("letter a. The dog", "letter a the dog"),
        ("1,000 people, 3.5 ft at 10:30am on 1/2 of 12-foot", "1,000 people 3.5 ft at 10:30 am on 1/2 of 12-foot"),
        ("$5 and 100% #1 and/or b&w AT&T at&t", "$ 5 and 100 % # 1 and/or b & w at&t at & t"),
        ("wait... what!! a..", "wait what !! a."),
        ("sitting.The dog o'clock ma'am y'all rock 'n' roll", "sitting.the dog o'clock ma'am y' all rock 'n' roll"),
        ("It’s “curly” – don’t", "it 's curly do n't"),
        ("a.com a@b.com http://x.org/a?b=1. :)", "a.com a@b.com http://x.org/a?b=1 :-rrb-"),
        ("emoji 😀 a😀b 東京 кот", "emoji a b 東京 кот"),
        ("dog &amp; cat", "dog & cat"),
        ("...", ""),
        ("", ""),
        (" \t ", ""),
    ],
)
def test_tokens(text: str, expected: str) -> None:
    assert tokenize(text) == tuple(expected.split())


@pytest.mark.parametrize(
    "blank", ["\r", "\r\n", "\n", "\u2028", "\u2029", "\x0b", "\x0c", "\t", "\x00", "\xa0", "\x85"]
)
def test_line_breaks_inside_a_caption_are_blanks(blank: str) -> None:
    assert tokenize(f"a dog{blank}runs.") == ("a", "dog", "runs")


def test_composed_and_decomposed_texts_are_one() -> None:
    text = "Un café à la crème, übergroß."
    assert tokenize(unicodedata.normalize("NFD", text)) == tokenize(unicodedata.normalize("NFC", text))
    assert "café" in tokenize(text)


def test_the_plain_way_and_the_grammar_agree() -> None:
    texts = [
        "A man in St. and",
        "We cannot see",
        "the letter A",
        "in the St .",
        "a dog of a.",
        "ends in etc.",
        "Jr",
        ".",
    ]
    for text in [*texts, "A man , a dog ,a cat", "a dog..", "a dog. .", "in Mass.", "a a."]:
        assert list(tokenize(text)) == _lexed(text)


def captions(shared: Path) -> list[str]:
    data = shared / "data"
    rows = (data / "flickr8k_text/Flickr8k.token.txt").read_text("utf-8").splitlines()
    found = [row.split("\t")[1] for row in rows]
    found += [
        row["caption"] for row in json.loads((data / "coco_mini/captions_train2017.json").read_text())["annotations"]
    ]
    fake = data / "coco_caption_fixtures/captions_val2014_fakecap_results.json"
    found += [row["caption"] for row in json.loads(fake.read_text())]
    return [text.replace("\n", " ") for text in found]


def test_it_equals_the_stanford_tokenizer_on_real_captions(shared: Path, tmp_path: Path) -> None:
    package = pytest.importorskip("pycocoevalcap.tokenizer.ptbtokenizer")
    if shutil.which("java") is None:
        pytest.skip("no Java: the Stanford tokenizer cannot run")
    texts = captions(shared)
    file = tmp_path / "captions.txt"
    file.write_text("\n".join(texts), "utf-8")
    jar = Path(package.__file__).with_name("stanford-corenlp-3.4.1.jar")
    command = ["java", "-cp", str(jar), "edu.stanford.nlp.process.PTBTokenizer", "-preserveLines", "-lowerCase"]
    lines = subprocess.run([*command, str(file)], capture_output=True, check=True).stdout.decode().split("\n")
    theirs = [tuple(token for token in line.split() if token not in PUNCTUATION) for line in lines[: len(texts)]]
    different = [(text, one) for text, one in zip(texts, theirs, strict=True) if tokenize(text) != one]
    assert len(different) <= len(texts) * 0.0005, different[:5]
    assert not different
