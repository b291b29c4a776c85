"""Writes a prompt in canonical words, which `parser.parse` reads back as the same prompt."""

from __future__ import annotations

from apps.text3d.prompts.prompt import Prompt, Relation

ORDINALS = ("first", "second", "third")


def write(prompt: Prompt) -> str:
    """The canonical text of a prompt's things and relations; `parse(write(p)) == p` where all was understood.

    An empty text where the prompt holds no thing.
    """
    return _Writer(prompt).write() if prompt.objects else ""


def named(prompt: Prompt, index: int) -> str:
    """A thing as it is introduced: `a red cube`, `two small spheres`."""
    thing = prompt.objects[index]
    words = thing.describe()
    if thing.count > 1:
        return words
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def pointed(prompt: Prompt, index: int) -> str:
    """A thing as it is pointed back at: `the red cube`, `the second red cube` where several are alike."""
    thing = prompt.objects[index]
    alike = [place for place, other in enumerate(prompt.objects) if other == thing]
    which = f"{ORDINALS[alike.index(index)]} " if len(alike) > 1 else ""
    return f"the {which}{thing.describe()}"


class _Writer:
    def __init__(self, prompt: Prompt) -> None:
        self.prompt = prompt
        self.left = list(prompt.relations)
        self.last = 0  # the thing that was mentioned last, which "which" points at

    def write(self) -> str:
        """Introduce the things one by one, each with a relation where one fits; then say the remaining relations."""
        text = named(self.prompt, 0)
        heads = [0]  # the things that the sentence is about
        for index in range(1, len(self.prompt.objects)):
            text += self._introduce(index, heads)
        return text + "".join(self._sentence(relation) for relation in self.left)

    def _introduce(self, index: int, heads: list[int]) -> str:
        new = named(self.prompt, index)
        forward = next((one for one in self.left if one.object == index and one.subject < index), None)
        last, self.last = self.last, index
        if forward is not None and forward.subject == last:
            self.left.remove(forward)
            if index == 1:
                return f" {forward.name} {new}"
            verb = "are" if self.prompt.objects[forward.subject].count > 1 else "is"
            return f", which {verb} {forward.name} {new}"
        if forward is not None and forward.subject == heads[-1]:
            self.left.remove(forward)
            return f" and {forward.name} {new}"
        heads.append(index)
        backward = next((one for one in self.left if one.subject == index and one.object < index), None)
        if backward is None:
            more = index + 1 < len(self.prompt.objects)
            return f", {new}" if more else f" and {new}"
        self.left.remove(backward)
        self.last = backward.object
        return f" and {new} {backward.name} {pointed(self.prompt, backward.object)}"

    def _sentence(self, relation: Relation) -> str:
        subject, target = pointed(self.prompt, relation.subject), pointed(self.prompt, relation.object)
        verb = "are" if self.prompt.objects[relation.subject].count > 1 else "is"
        return f". The{subject[3:]} {verb} {relation.name} {target}"
