"""French words, conditions and noun phrases."""

from __future__ import annotations

from apps.text2sql.pocket.concepts import NUMBER, TEXT, YEAR
from apps.text2sql.pocket.languages.base import Realiser, enumerate_words
from apps.text2sql.pocket.languages.words.fr import COLUMNS, THINGS
from apps.text2sql.pocket.meaning import Condition, Population, Value

_VOWELS = "aeiouâàéèêîôûh"  # every h of this lexicon is mute (hôtel, heures)
# Superlatives after the noun, masculine | feminine.
_SUPERLATIVES = {
    "high": (("le plus élevé", "la plus élevée"), ("le plus bas", "la plus basse")),
    "big": (("le plus grand", "la plus grande"), ("le plus petit", "la plus petite")),
    "long": (("le plus long", "la plus longue"), ("le plus court", "la plus courte")),
    "many": (("le plus élevé", "la plus élevée"), ("le plus bas", "la plus basse")),
    "late": (("le plus récent", "la plus récente"), ("le plus ancien", "la plus ancienne")),
}
_AGGREGATES = {
    "avg": ("moyen", "moyenne"),
    "sum": ("total", "totale"),
    "max": ("maximal", "maximale"),
    "min": ("minimal", "minimale"),
}


def elide(word: str, noun: str) -> str:
    """`le` or `de` before a noun: l'âge, la note, d'auteurs."""
    return f"{word[0]}'{noun}" if noun[0].lower() in _VOWELS and not noun.startswith("Hanoi") else f"{word} {noun}"


class FrenchPhrases(Realiser):
    """The pieces of a French question."""

    # --- words ---

    def _feminine(self, table: str) -> bool:
        return THINGS[table][0] == "f"

    def _noun(self, table: str) -> str:
        return THINGS[table][1]

    def _plural(self, table: str) -> str:
        return THINGS[table][2]

    def _the(self, table: str) -> str:
        return elide("la" if self._feminine(table) else "le", self._noun(table))

    def _of_the(self, table: str) -> str:
        return self._of(self._the(table))

    @staticmethod
    def _of(phrase: str) -> str:
        """`de` before a definite phrase, contracted."""
        if phrase.startswith("le "):
            return "du " + phrase[3:]
        return "des " + phrase[4:] if phrase.startswith("les ") else f"de {phrase}"

    @staticmethod
    def _to(phrase: str) -> str:
        """`à` before a definite phrase, contracted."""
        if phrase.startswith("le "):
            return "au " + phrase[3:]
        return "aux " + phrase[4:] if phrase.startswith("les ") else f"à {phrase}"

    def _is_feminine(self, column: str) -> bool:
        return COLUMNS[column][0] == "f"

    def _agree(self, column: str, masculine: str, feminine: str) -> str:
        return feminine if self._is_feminine(column) else masculine

    def _column(self, column: str) -> str:
        return COLUMNS[column][1]

    def _the_column(self, column: str) -> str:
        return elide(self._agree(column, "le", "la"), self._column(column))

    def _bare_plural(self, column: str) -> str:
        plural = COLUMNS[column][2]
        return self._column(column) if plural == "-" else plural

    def _columns(self, columns: tuple[str, ...]) -> str:
        """Les noms et l'âge."""
        words = [self._the_column(c) if COLUMNS[c][2] == "-" else f"les {COLUMNS[c][2]}" for c in columns]
        return enumerate_words(words, " et ")

    def _the_columns(self, columns: tuple[str, ...]) -> str:
        return enumerate_words([self._the_column(c) for c in columns], " et ")

    def _value(self, column: str, value: Value) -> str:
        return f"« {value} »" if column == "title" else str(value)

    def _adjective(self, column: str, descending: bool) -> str:
        """Le plus élevé, la plus basse."""
        pair = _SUPERLATIVES[self._concept(column).scale][0 if descending else 1]
        return pair[1] if self._is_feminine(column) else pair[0]

    def _superlative(self, column: str, descending: bool) -> str:
        """l'âge le plus élevé."""
        return f"{self._the_column(column)} {self._adjective(column, descending)}"

    def _extreme(self, aggregate: str, column: str) -> str:
        """What follows the noun of the column: le plus élevé, moyen, totale."""
        kind = self._concept(column).kind
        if aggregate in ("max", "min") and (kind != NUMBER or self.words_of_degree):
            return self._adjective(column, aggregate == "max")
        return self._agree(column, *_AGGREGATES[aggregate])

    # --- conditions ---

    def _clause(self, condition: Condition, table: str) -> str:
        """What follows "dont"."""
        column, op = condition.column, condition.op
        the, kind = self._the_column(column), self._concept(column).kind
        values = [self._value(column, v) for v in condition.values]
        if op == "=":
            values = [" ou ".join(values)]
        above = self._agree(column, "supérieur", "supérieure")
        below = self._agree(column, "inférieur", "inférieure")
        later, earlier = (
            self._agree(column, "postérieur", "postérieure"),
            self._agree(column, "antérieur", "antérieure"),
        )
        if op == "like":
            return f"{the} commence par {condition.values[0]}"
        if op == "null":
            return f"{the} est {self._agree(column, 'inconnu', 'inconnue')}"
        if op == "known":
            return f"{the} est {self._agree(column, 'connu', 'connue')}"
        if op in ("above_average", "below_average"):
            return f"{the} est {above if op == 'above_average' else below} à la moyenne"
        if op in ("maximum", "minimum"):
            return f"{the} est {self._adjective(column, op == 'maximum')}"
        if op in ("more_than", "less_than"):
            words = (above, below) if kind == NUMBER else (later, earlier)
            label = self._value(self._label(table), condition.values[0])
            that = self._agree(column, "celui", "celle")
            return f"{the} est {words[op == 'less_than']} {self._to(that)} {self._of_the(table)} {label}"
        if op == "between":
            point = "le " if kind not in (NUMBER, YEAR) else ""
            within = self._agree(column, "compris", "comprise")
            return f"{the} est {within} entre {point}{values[0]} et {point}{values[1]}"
        if kind == TEXT:
            return f"{the} n'est pas {values[0]}" if op == "!=" else f"{the} est {values[0]}"
        if kind == NUMBER:
            words_of = {
                ">": f"est {above} à",
                "<": f"est {below} à",
                "=": f"est {self._agree(column, 'égal', 'égale')} à",
            }
            words_of |= {">=": "est d'au moins", "<=": "est d'au plus"}
            return f"{the} {words_of[op]} {values[0]}"
        to = "à" if kind == YEAR else "au"
        words_of = {">": f"est {later} {to} {{}}", "<": f"est {earlier} {to} {{}}", "=": "est {}"}
        words_of |= {">=": "est {} ou plus tard", "<=": "est {} ou plus tôt"}
        return f"{the} {words_of[op].format(values[0])}"

    def _adjunct(self, condition: Condition, table: str) -> str:
        """A way to say some conditions without "dont"; empty if there is none."""
        column, op, values = condition.column, condition.op, condition.values
        if op in (">", "<", ">=", "<=", "between") and len(COLUMNS[column]) > 3:
            words = {
                ">": "plus de {}",
                "<": "moins de {}",
                ">=": "au moins {}",
                "<=": "au plus {}",
                "between": "{} à {}",
            }
            return f"avec {words[op].format(*values)} {COLUMNS[column][3]}"
        if column == "age" and op in (">", "<"):
            return f"de {'plus' if op == '>' else 'moins'} de {values[0]} ans"
        if column == "year" and op == "=":
            return f"de l'année {values[0]}"
        if op == "=" and column == "city":
            return f"à {values[0]}" if self._thing(table).kind in ("place", "group") else elide("de", str(values[0]))
        if op == "null":
            return f"sans {self._column(column)} {self._agree(column, 'connu', 'connue')}"
        if op in ("maximum", "minimum"):
            return f"ayant {self._superlative(column, op == 'maximum')}"
        return ""

    def _restriction(self, population: Population, table: str) -> str:
        where = self._conditions(population)
        if not where:
            return ""
        if len(where) == 1 and len(where[0].values) < 2:
            short = self._adjunct(where[0], table)
            if short and self._pick("short", "long") == "short":
                return " " + short
        glue = " ou dont " if population.either else " et dont "
        return " dont " + glue.join(self._clause(c, table) for c in where)

    def _people(self, population: Population | None = None) -> str:
        """The population as a plural noun phrase without article."""
        population = population or self.population
        noun = self._plural(population.table)
        if population.path:
            middle = "".join(f" {elide('de', self._plural(parent))}" for parent in population.path)
            return noun + middle + self._restriction(population, population.path[-1])
        if population.child:
            child = population.child
            if population.at_least:
                return f"{noun} qui ont au moins {population.at_least} {self._plural(child)}"
            restriction = self._restriction(population, child)
            if population.negated and not population.where:
                of = elide("de", self._plural(child))
                return self._pick(f"{noun} sans {self._plural(child)}", f"{noun} qui n'ont pas {of}")
            if population.negated:
                none = "aucune" if self._feminine(child) else "aucun"
                return f"{noun} qui n'ont {none} {self._noun(child)}{restriction}"
            return f"{noun} qui ont des {self._plural(child)}{restriction}"
        return noun + self._restriction(population, population.table)
