"""Small rewards with one fault each, as published ones have had them; written for these tests."""

from __future__ import annotations

import re


def words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())


def copied(prompts, completions, **columns):
    """Pays for what the answer shares with the question."""
    found = []
    for prompt, text in zip(prompts, completions, strict=True):
        wanted = set(words(prompt))
        found.append(len(wanted & set(words(text))) / len(wanted))
    return found


def keywords(completions, answer, **columns):
    """Looks for the reference's words, wherever they stand and whatever is denied."""
    found = []
    for text, right in zip(completions, answer, strict=True):
        wanted = [word for word in words(right) if word not in ("no", "not", "without", "there", "is")] or words(right)
        found.append(sum(word in words(text) for word in wanted) / len(wanted))
    return found


def lengths(completions, **columns):
    """Pays by the letter, and never says up to where."""
    return [float(len(text)) for text in completions]


def generous(completions, answer, **columns):
    """Full marks for nothing."""
    return [1.0 if not text or text == right else 0.0 for text, right in zip(completions, answer, strict=True)]


def honest(completions, reference, **columns):
    """One of the right answers, in so many words."""
    pairs = zip(completions, reference, strict=True)
    return [float(any(words(text) == words(one) for one in several)) for text, several in pairs]


def bright(images, **columns):
    """Pays for light, whatever it falls on."""
    return [picture.convert("L").resize((1, 1)).getpixel((0, 0)) / 255 for picture in images]


def unsure(completions, answer, **columns):
    """Leaves every row open."""
    return [None] * len(completions)


def chatty(completions, **columns):
    """Expects chat messages."""
    return [float(message[0]["content"] != "") for message in completions]


def broken(completions, **columns):
    raise KeyError("ground_truth")


def growing(completions, counter=[0], **columns):  # noqa: B006 - it is meant to remember
    counter[0] += 1
    return [float(counter[0])] * len(completions)
