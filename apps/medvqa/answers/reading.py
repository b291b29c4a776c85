"""One pass over the tokens of a text: words become concepts, cues turn and weaken them, separators end their reach."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from apps.medvqa.answers.cues import CERTAINTY_OF, FILLERS, NO, YES, Cue, find_cue
from apps.medvqa.answers.dates import read_date
from apps.medvqa.answers.facts import Segment, assemble
from apps.medvqa.answers.meaning import CERTAIN, Atom, Meaning
from apps.medvqa.answers.numerals import GRADE_WORDS, NUMBER_WORDS, graded
from apps.medvqa.answers.quantities import NONE, Quantity, lettered, read_quantity
from apps.medvqa.answers.relations import EXTENT
from apps.medvqa.answers.senses import NUMBERS, STAGES, sense_of
from apps.medvqa.answers.tables import listed
from apps.medvqa.answers.terms import Sense, Terms
from apps.medvqa.answers.text import Token, is_unspaced

#: Kinds of atom that a negation turns where it can; places are turned only where nothing else stands.
_TURNED = frozenset({"finding", "quality", "state", "modality", "plane", "other", "word"})
_HARD = frozenset(".;!?")
_SOFT = frozenset({",", "/", "and", "&", "or", "+", "nor", "plus", "as"})
#: Words that show a new statement behind a comma, so that a negation before it ends.
_NEW_STATEMENT = frozenset(listed("is are was were has have there seen present show demonstrate noted identified"))
_AFFIRMING = frozenset(
    listed("""
    present seen visible identified evident noted is are there shown observed detected exist
""")
)
_PRONOUNS = frozenset(listed("it there this they that these he she we i not"))
_PLAIN, _PLAIN_YES = frozenset({"yes", "no"}), frozenset({("yes",), ("yeah",), ("yep",)})
_HEADS = frozenset(
    {
        *listed(
            ": - is be say answer ( but then maybe perhaps probably possibly either both neither actually wait sorry"
        ),
        chr(34),
    }
)


class Reading:
    """One pass over the tokens of a text."""

    def __init__(self, terms: Terms, context: frozenset[str]) -> None:
        self.terms = terms
        self.context = context
        self.segments: list[Segment] = [Segment()]
        self.clause: list[tuple[Segment, int]] = []
        """Where the atoms of the clause stand, for what turns them from behind."""
        self.scope: list[tuple[Segment, int]] = []
        """Atoms under the negation that is open."""
        self.negated = False
        self.fresh = False
        self.narrow = False
        """The negation reaches one word only: "non-obstructing stone" denies no stone."""
        self.negations = 0
        """Negations of the clause so far."""
        self.certainty = CERTAIN
        self.hedged = CERTAIN
        """The least certain that anything was said to be."""
        self.said: set[bool] = set()
        self.said_certainty = CERTAIN
        self.languages: set[str] = set()
        self.flags: set[str] = set()
        self.choice = 0
        self.choosing = False
        self.texts: tuple[str, ...] = ()
        self.counted_certainty = CERTAIN

    def read(self, found: Sequence[Token]) -> None:
        """Read all tokens; what they say is then in `meaning`."""
        self.texts = tuple(token.text for token in found)
        at = 0
        while at < len(found):
            at = self._step(found, at)
        self._end_scope()
        if not any(segment.atoms or segment.quantities for segment in self.segments):
            words = {token.text for token in found}
            told = self.said or self.flags & {"denied", "refusal", "noncommittal"}
            if (words & _AFFIRMING or self.hedged < CERTAIN) and not told:
                # "Possibly" is a weak yes.
                self.flags.add("affirmed")
                self.said_certainty = min(self.said_certainty, self.hedged)

    def _step(self, found: Sequence[Token], at: int) -> int:
        token = found[at]
        if token.text in _HARD:
            # 1. and 2. of a numbered list are no sentences, but then nothing stands before them.
            self._end_clause()
            return at + 1
        answered = self._answer_word(found, at)
        if answered:
            return answered
        phrase = self.terms.match(found, self.texts, at)
        alone = phrase is None or len(phrase.words) == 1
        if NUMBERS in self.context and alone and (value := graded(token.text)) and not token.is_number:
            self.segments[-1].quantities.append(Quantity(value[0], value[0], "", "grade", suffix=value[1]))
            return at + 1
        if self.context & {NUMBERS, STAGES} and (grade := lettered(token.text, STAGES in self.context)):
            self.segments[-1].quantities.append(grade)
            return at + 1
        cue = find_cue(self.texts, at)
        if cue and (phrase is None or len(cue.words) >= len(phrase.words)):
            self._apply(cue, found, at)
            return at + len(cue.words)
        quantity = read_date(found, at) or read_quantity(found, at)
        if quantity and quantity[0] == [NONE] and self._anything_follows(found, quantity[1]):
            # "Zero nodules" are no nodules.
            self._negate(found, quantity[1])
            return quantity[1]
        if quantity and not (phrase and len(phrase.words) >= max(2, quantity[1] - at) and quantity[1] > at):
            self.segments[-1].quantities += quantity[0]
            self.counted_certainty = min(self.counted_certainty, self.certainty)
            if quantity[1] > at:
                return quantity[1]
        if phrase:
            self._add_sense(sense_of(phrase, self.context))
            return self._numbered(found, at + len(phrase.words))
        if token.text in _SOFT:
            self._separate(found, at)
            return at + 1
        if is_unspaced(token.text):
            self._unspaced(token.text)
        elif token.is_word and token.text not in FILLERS:
            self._add(Atom(None, token.text))
            if self.narrow:
                self._end_scope()
        return at + 1

    def _numbered(self, found: Sequence[Token], after: int) -> int:
        """Where the text goes on behind a phrase and the number of what it names: "cranial nerve" VII."""
        if after > 1 and found[after - 2].text in GRADE_WORDS and (value := graded(found[after - 1].text)):
            # A type that is a concept of its own is a number too: "Salter-Harris II".
            self.segments[-1].quantities.append(Quantity(value[0], value[0], "", "grade", suffix=value[1]))
        if found[after - 1].text in GRADE_WORDS:
            quantity = read_quantity(found, after - 1)
            if quantity and quantity[1] > after:
                self.segments[-1].quantities += quantity[0]
                return quantity[1]
        return after

    def _answer_word(self, found: Sequence[Token], at: int) -> int:
        """Where the text goes on behind a yes or no at the head of a clause; 0 where none stands here."""
        before = found[at - 1].text if at else ","
        head = before in _HARD or before in _SOFT or before in _HEADS
        if not head or not found[at].is_word or (before == ":" and self.clause):
            return 0
        for length in (3, 2, 1):
            words = self.texts[at : at + length]
            value = True if words in YES else False if words in NO else None
            if value is None or len(words) < length:
                continue
            after = found[at + length] if at + length < len(found) else None
            boundary = after is None or not (after.is_word or after.is_number) or after.text in _SOFT
            boundary = boundary or (length == 1 and after is not None and after.text in _PRONOUNS)
            letter = len(words) == 1 and len(words[0]) == 1 and len(found) > 1
            if letter or not (boundary or words in _PLAIN_YES) or (before in ("be", "is") and words[0] not in _PLAIN):
                continue
            self.said.add(value)
            self.said_certainty = min(self.said_certainty, self.certainty)
            if after is not None and after.text == ",":
                return at + length + 1
            return at + length
        return 0

    def _apply(self, cue: Cue, found: Sequence[Token], at: int) -> None:
        after = at + len(cue.words)
        if cue.words[0] in ("versus", "vs") and not self.negated:
            self._choose()
            self._new_segment()
        if cue.kind == "negation":
            self._negate(found, after)
            self.narrow = self.negated and cue.words == ("non",)
        elif cue.kind == "denial":
            self._deny(found, after)
        elif cue.kind in CERTAINTY_OF:
            self._hedge(CERTAINTY_OF[cue.kind], found, after)
        elif cue.kind == "end":
            self._end_scope()
            self.certainty = CERTAIN
            self._new_segment()
            if cue.words[0] not in ("with", "which", "that", "because"):
                self.clause.clear()
        elif cue.kind == "no_negation" and "change" in cue.words and "unchanged" in self.terms.concepts:
            self._add(Atom(self.terms.concepts["unchanged"], "unchanged"))
        elif cue.kind in ("refusal", "noncommittal"):
            self.flags.add(cue.kind)

    def _negate(self, found: Sequence[Token], after: int) -> None:
        if self.negated and self.fresh:
            # "not without": twice no is yes.
            self._end_scope()
            return
        if self.negated:
            self._end_scope()
        if not self._anything_follows(found, after):
            self._deny(found, after)
            return
        self.negated, self.fresh = True, True
        self.negations += 1

    def _deny(self, found: Sequence[Token], after: int) -> None:
        """Turn the atoms of the clause so far."""
        if self.negated and self.fresh:
            # "Is not absent", "has not resolved".
            self._end_scope()
            return
        if self.negated:
            self._end_scope()
        if not self.clause:
            if self._anything_follows(found, after):
                self.negated, self.fresh = True, True
            else:
                self.flags.add("denied")
                self.said_certainty = min(self.said_certainty, self.certainty)
            return
        self._turn(self.clause)
        self.clause.clear()

    def _hedge(self, level: int, found: Sequence[Token], after: int) -> None:
        self.hedged = min(self.hedged, level)
        if self.negated:
            self._end_scope()
        if self.clause and not self._anything_follows(found, after):
            for segment, place in self.clause:
                atom = segment.atoms[place]
                segment.atoms[place] = replace(atom, certainty=min(atom.certainty, level))
            return
        self.certainty = min(self.certainty, level)

    def _anything_follows(self, found: Sequence[Token], at: int) -> bool:
        """Whether a word of content stands before the end of the clause."""
        for token in found[at:]:
            if token.text in _HARD or token.text in (",", "but", "however"):
                return False
            if is_unspaced(token.text) or token.is_number:
                return True
            if token.is_word and token.text not in FILLERS and token.text not in _SOFT:
                return True
        return False

    def _separate(self, found: Sequence[Token], at: int) -> None:
        text = found[at].text
        if text == "or" and not self.negated:
            self._choose()
        if text == ",":
            if self.negated and (self._new_statement(found, at + 1) or self._list_over(found, at + 1)):
                self._end_scope()
            self.clause = [] if not self.negated else self.clause
        self._new_segment()

    def _choose(self) -> None:
        """The atoms on both sides of an "or" are alternatives."""
        if not self.choosing:
            self.choice += 1
            self.choosing = True
        atoms = self.segments[-1].atoms
        for place, atom in enumerate(atoms):
            atoms[place] = replace(atom, choice=self.choice)

    def _new_statement(self, found: Sequence[Token], at: int) -> bool:
        for token in found[at:]:
            if token.text in _HARD or token.text == ",":
                return False
            if token.text in _NEW_STATEMENT:
                return True
        return False

    def _list_over(self, found: Sequence[Token], at: int) -> bool:
        """Whether a comma ends what "no" denies: "no nodules, no effusion, edema", "no fracture, small effusion".

        Where an "or" or "nor" follows, the list goes on. Else it ends where each item so far had a "no" of its own, or
        before an amount, a number or a side: they are said of what is there.
        """
        for token in found[at:]:
            if token.text in _HARD:
                break
            if token.text in ("or", "nor"):
                return False
        if self.negations > 1:
            return True
        if at < len(found) and (found[at].is_number or found[at].text in NUMBER_WORDS):
            return True
        phrase = self.terms.match(found, self.texts, at) if at < len(found) else None
        if phrase is None:
            # "No stone, simple cyst": a word of its own before the next finding.
            own = at + 1 < len(found) and found[at].is_word and found[at].text not in FILLERS
            return own and find_cue(self.texts, at) is None and self.terms.match(found, self.texts, at + 1) is not None
        if not phrase.senses[0].atoms:
            return False
        first = phrase.senses[0].atoms[0][0]
        if first.kind == "side":
            return not any(segment.atoms[place].kind == "side" for segment, place in self.scope)
        return first.axis in EXTENT or first.axis == "multiplicity"

    def _add_sense(self, sense: Sense) -> None:
        if sense.language != "en":
            self.languages.add(sense.language)
        if sense.answer:
            self.said.add(sense.answer == "yes")
            return
        for concept, said in sense.atoms:
            self._add(Atom(concept, concept.name, said))
        if self.narrow and sense.atoms:
            self._end_scope()

    def _add(self, atom: Atom) -> None:
        segment = self.segments[-1]
        atom = replace(atom, certainty=self.certainty, choice=self.choice if self.choosing else 0)
        segment.atoms.append(atom)
        place = (segment, len(segment.atoms) - 1)
        self.clause.append(place)
        if self.negated:
            self.scope.append(place)
            self.fresh = False

    def _unspaced(self, run: str) -> None:
        self.languages.add("zh")
        if run in _CJK_ANSWERS:
            self.said.add(_CJK_ANSWERS[run])
            return
        for text, senses in self.terms.cut(run):
            if text in _CJK_NEGATION:
                self.negated, self.fresh = True, True
            elif senses:
                self._add_sense(senses[0])
            elif text not in _CJK_FILLERS:
                self._add(Atom(None, text))

    def _new_segment(self) -> None:
        if self.segments[-1].atoms or self.segments[-1].quantities:
            self.segments.append(Segment())

    def _end_clause(self) -> None:
        self._end_scope()
        self.certainty = CERTAIN
        self.choosing = False
        self.negations = 0
        self.clause.clear()
        self._new_segment()

    def _end_scope(self) -> None:
        if self.negated and self.scope:
            self._turn(self.scope)
        self.negated, self.fresh, self.narrow = False, False, False
        self.scope = []

    def _turn(self, places: Iterable[tuple[Segment, int]]) -> None:
        places, absent = list(places), self.terms.concepts.get("absent")
        kinds = {segment.atoms[place].kind for segment, place in places}
        if kinds and kinds <= {"anatomy"} and absent is not None:
            # "No corpus callosum": not another place, but one that is missing.
            segment = places[-1][0]
            segment.atoms.append(Atom(absent, absent.name))
            return
        turned = kinds & _TURNED
        known = turned - {"word"}
        wanted = known or turned or kinds
        for segment, place in places:
            atom = segment.atoms[place]
            if atom.kind in wanted:
                segment.atoms[place] = replace(atom, said=not atom.said)

    def meaning(self) -> Meaning:
        """What was read."""
        return Meaning(
            facts=tuple(assemble(self.segments, self.terms)),
            said=frozenset(self.said),
            denied="denied" in self.flags,
            affirmed="affirmed" in self.flags,
            refused="refusal" in self.flags,
            noncommittal="noncommittal" in self.flags,
            certainty=self.said_certainty,
            counted_certainty=self.counted_certainty,
            languages=frozenset(self.languages),
        )


#: Whole answers to closed questions; inside a longer answer 有 is no yes.
_CJK_ANSWERS = {
    **dict.fromkeys(listed("有 是 是的 对 对的 存在 有的 可以 能 会 包含 正确 はい あり"), True),
    **dict.fromkeys(listed("没有 无 不是 否 没 不 不存在 不能 不会 不包含 错误 不对 いいえ なし"), False),
}
_CJK_NEGATION = frozenset({"无", "未", "非", "没有", "未见", "不是", "不", "没", "ない", "なし", "無"})
_CJK_FILLERS = frozenset(
    {
        *"的了在有是这那个张图片中像里于为和与及个,。什么吗哪用最何被对にのはがをと",
        *listed(
            "什么 哪个 哪些 哪里 图像 图片 这张 这个 器官 部位 属于 方式 显示 主要 如何 是否 还是 存在 看到 可见 请问"
        ),
    }
)
