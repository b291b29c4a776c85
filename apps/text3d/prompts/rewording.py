"""The same prompt in other words, which a reward must not pay differently."""

from __future__ import annotations

from apps.text3d.pocket.combinations import meaning
from apps.text3d.prompts.parser import parse
from apps.text3d.prompts.prompt import Prompt, Relation
from apps.text3d.prompts.vocabulary import RELATIONS
from apps.text3d.prompts.writer import write

#: Words of people who try to please a diffusion model; none is about the scene.
FILLER = ", highly detailed, trending, 8k, award winning studio photograph"


def wordings(prompt: Prompt) -> dict[str, str]:
    """Texts that say the same, by what was done to them."""
    verb = "is" if prompt.objects[0].count == 1 else "are"
    texts = {
        "other end first": told_backwards(prompt),
        "a sentence": f"There {verb} {prompt.text}.",
        "filler": prompt.text + FILLER,
    }
    return {name: text for name, text in texts.items() if text != prompt.text and _same(text, prompt)}


def another(prompt: Prompt) -> str:
    """One other wording, for a critic that no guidance asks; of what the parser does not know, a frame around it."""
    known = wordings(prompt).values() if prompt.understood else ()
    return next(iter(known), f"a picture that shows {prompt.text}")


def told_backwards(prompt: Prompt) -> str:
    """From the other end: "a ball right of a cube" for "a cube left of a ball"; one thing stays as it is."""
    last = len(prompt.objects) - 1
    relations = [Relation(last - one.object, RELATIONS[one.name], last - one.subject) for one in prompt.relations]
    return write(Prompt("", prompt.objects[::-1], tuple(relations)))


def _same(text: str, prompt: Prompt) -> bool:
    return meaning(parse(text)) == meaning(prompt)
