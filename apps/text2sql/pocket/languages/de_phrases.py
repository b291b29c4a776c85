"""German words, conditions and noun phrases."""

from __future__ import annotations

from apps.text2sql.pocket.concepts import DATE, NUMBER, TEXT, YEAR
from apps.text2sql.pocket.languages.base import Realiser, enumerate_words
from apps.text2sql.pocket.languages.words.de import COLUMNS, THINGS
from apps.text2sql.pocket.meaning import Condition, Population, Value

THE = {"nom": {"m": "der", "f": "die", "n": "das"}, "acc": {"m": "den", "f": "die", "n": "das"}}
THE["gen"] = {"m": "des", "f": "der", "n": "des"}
THE["dat"] = {"m": "dem", "f": "der", "n": "dem"}
# Stems of the superlatives, which take -e after "der/die/das" and -en in the dative.
_SUPERLATIVES = {
    "high": ("höchst", "niedrigst"),
    "big": ("größt", "kleinst"),
    "long": ("größt", "kleinst"),
    "many": ("höchst", "niedrigst"),
    "late": ("spätest", "frühest"),
}
_COMPARATIVES = {
    "höchst": "höher",
    "niedrigst": "niedriger",
    "größt": "größer",
    "kleinst": "kleiner",
    "spätest": "später",
    "frühest": "früher",
    "längst": "länger",
    "kürzest": "kürzer",
}
_AGGREGATES = {"avg": "durchschnittlich", "sum": "gesamt", "max": "maximal", "min": "minimal"}
_ENDINGS = {"nom": {"m": "e", "f": "e", "n": "e"}, "acc": {"m": "en", "f": "e", "n": "e"}}
_ENDINGS["dat"] = _ENDINGS["gen"] = {"m": "en", "f": "en", "n": "en"}


class GermanPhrases(Realiser):
    """The pieces of a German question."""

    # --- words ---

    def _gender(self, table: str) -> str:
        return THINGS[table][0]

    def _noun(self, table: str, case: str = "nom") -> str:
        forms = THINGS[table]
        if case == "gen":
            return forms[2]
        return forms[4] if case in ("acc", "dat") and len(forms) > 4 else forms[1]

    def _the(self, table: str, case: str) -> str:
        return f"{THE[case][self._gender(table)]} {self._noun(table, case)}"

    def _plural(self, table: str) -> str:
        return THINGS[table][3]

    def _dative_plural(self, table: str) -> str:
        plural = self._plural(table)
        return plural if plural[-1] in "ns" else plural + "n"

    def _each(self, table: str) -> str:
        """Jeden Sänger, jede Band, jedes Lied (accusative)."""
        return {"m": "jeden", "f": "jede", "n": "jedes"}[self._gender(table)] + " " + self._noun(table, "acc")

    def _column(self, column: str, case: str = "nom") -> str:
        _, nominative, oblique, *_ = COLUMNS[column]
        return nominative if case == "nom" or oblique == "=" else oblique

    def _the_column(self, column: str, case: str = "nom") -> str:
        return f"{THE[case][COLUMNS[column][0]]} {self._column(column, case)}"

    def _columns(self, columns: tuple[str, ...]) -> str:
        """Die Namen und die Preise, das Alter (nominative or accusative)."""
        return enumerate_words([self._the_columns_of(c) for c in columns], " und ")

    def _the_columns_of(self, column: str) -> str:
        plural = COLUMNS[column][3]
        return self._the_column(column, "acc") if plural == "-" else f"die {plural}"

    def _bare_plural(self, column: str) -> str:
        """Plural without an article (nominative or accusative), for the columns that have categories or dates."""
        return COLUMNS[column][3]

    def _the_columns(self, columns: tuple[str, ...], case: str) -> str:
        return enumerate_words([self._the_column(c, case) for c in columns], " und ")

    def _value(self, column: str, value: Value) -> str:
        return f"„{value}“" if column == "title" else str(value)

    def _superlative(self, column: str, descending: bool, case: str) -> str:
        """Das höchste Alter, dem höchsten Alter."""
        gender = COLUMNS[column][0]
        stem = self._degree(column, descending)
        return f"{THE[case][gender]} {stem}{_ENDINGS[case][gender]} {self._column(column, case)}"

    def _degree(self, column: str, descending: bool) -> str:
        """The stem of the superlative."""
        pair = ("längst", "kürzest") if column == "days" else _SUPERLATIVES[self._concept(column).scale]
        return pair[0 if descending else 1]

    def _extreme(self, aggregate: str, column: str, case: str) -> str:
        concept, gender = self._concept(column), COLUMNS[column][0]
        if aggregate in ("max", "min") and (concept.kind != NUMBER or self.words_of_degree):
            return self._superlative(column, aggregate == "max", case)
        if aggregate == "sum" and self._pick("a", "b") == "a":
            return f"{THE[case][gender]} Gesamt{self._column(column, case).lower()}"
        stem = _AGGREGATES[aggregate]
        return f"{THE[case][gender]} {stem}{_ENDINGS[case][gender]} {self._column(column, case)}"

    # --- conditions ---

    def _clause(self, condition: Condition, table: str) -> str:
        """What follows "deren"."""
        column, op = self._column(condition.column), condition.op
        kind = self._concept(condition.column).kind
        values = [self._value(condition.column, v) for v in condition.values]
        if op == "=":
            values = [" oder ".join(values)]
        if op == "like":
            return f"{column} mit {condition.values[0]} {self._pick('beginnt', 'anfängt')}"
        if op == "null":
            return f"{column} {self._pick('unbekannt ist', 'nicht bekannt ist')}"
        if op == "known":
            return f"{column} bekannt ist"
        if op in ("above_average", "below_average"):
            return f"{column} {'über' if op == 'above_average' else 'unter'} dem Durchschnitt liegt"
        if op in ("maximum", "minimum"):
            return f"{column} am {self._degree(condition.column, op == 'maximum')}en ist"
        if op in ("more_than", "less_than"):
            word = _COMPARATIVES[self._degree(condition.column, op == "more_than")]
            label = self._value(self._label(table), condition.values[0])
            article = {"m": "der", "f": "die", "n": "das"}[COLUMNS[condition.column][0]]
            return f"{column} {word} ist als {article} {self._the(table, 'gen')} {label}"
        if op == "between":
            return f"{column} zwischen {self._point(kind)}{values[0]} und {self._point(kind)}{values[1]} liegt"
        if kind == TEXT:
            return f"{column} {'nicht ' if op == '!=' else ''}{values[0]} ist"
        if kind == NUMBER:
            words = {
                ">": "über {} liegt",
                "<": "unter {} liegt",
                ">=": "mindestens {} beträgt",
                "<=": "höchstens {} beträgt",
            }
            words["="] = self._pick("{} beträgt", "genau {} beträgt")
        else:
            the = self._point(kind)
            words = {">": f"nach {the}{{}} liegt", "<": f"vor {the}{{}} liegt", "=": "{} ist"}
            words |= {">=": "{} oder später ist", "<=": "{} oder früher ist"}
        return f"{column} {words[op].format(values[0])}"

    @staticmethod
    def _point(kind: str) -> str:
        return "dem " if kind == DATE else ""

    def _adjunct(self, condition: Condition, table: str) -> str:
        """A way to say some conditions without a clause; empty if there is none."""
        column, op, values = condition.column, condition.op, condition.values
        kind, concept = self._thing(table).kind, self._concept(condition.column)
        if op == "=" and column in ("city", "country"):
            inside = kind == "place" or (kind == "group" and column == "city")
            return f"{'in' if inside else 'aus'} {values[0]}"
        if op == "=" and concept.kind == YEAR:
            return f"aus dem Jahr {values[0]}"
        if concept.kind == NUMBER and op in (">", "<", ">=", "<=", "between"):
            if len(COLUMNS[column]) > 4:
                words = {">": "mehr als {}", "<": "weniger als {}", ">=": "mindestens {}", "<=": "höchstens {}"}
                words["between"] = "{} bis {}"
                return f"mit {words[op].format(*values)} {COLUMNS[column][4]}"
            words = {">": "über {}", "<": "unter {}", ">=": "von mindestens {}", "<=": "von höchstens {}"}
            words["between"] = "zwischen {} und {}"
            article = "einer" if COLUMNS[column][0] == "f" else "einem"
            return f"mit {article} {self._column(column, 'dat')} {words[op].format(*values)}"
        if op == "null":
            known = {"m": "bekannten", "f": "bekannte", "n": "bekanntes"}[COLUMNS[column][0]]
            return f"ohne {known} {self._column(column, 'acc')}"
        if op == "known":
            return f"mit {'bekannter' if COLUMNS[column][0] == 'f' else 'bekanntem'} {self._column(column, 'dat')}"
        if op in ("maximum", "minimum"):
            return f"mit {self._superlative(column, op == 'maximum', 'dat')}"
        return ""

    def _restriction(self, population: Population, table: str, commas: bool) -> str:
        """Conditions after a plural noun; `commas` closes a relative clause, where the sentence goes on."""
        where = self._conditions(population)
        if not where:
            return ""
        if len(where) == 1 and len(where[0].values) < 2:
            short = self._adjunct(where[0], table)
            if short and self._pick("short", "long") == "short":
                return " " + short
        glue = " oder deren " if population.either else " und deren "
        return ", deren " + glue.join(self._clause(c, table) for c in where) + ("," if commas else "")

    def _people(self, population: Population | None = None, case: str = "nom", commas: bool = False) -> str:
        """The population as a plural noun phrase without article (nominative, genitive and accusative are alike)."""
        population = population or self.population
        noun = self._dative_plural(population.table) if case == "dat" else self._plural(population.table)
        if population.path:
            middle = "".join(f" von {self._dative_plural(parent)}" for parent in population.path)
            return noun + middle + self._restriction(population, population.path[-1], commas)
        if population.child:
            child, end = population.child, "," if commas else ""
            if population.at_least:
                return f"{noun}, die mindestens {population.at_least} {self._plural(child)} haben{end}"
            if population.negated and not population.where:
                without = f"{noun} ohne {self._plural(child)}"
                return self._pick(without, f"{noun}, die keine {self._plural(child)} haben{end}")
            restriction = self._restriction(population, child, commas)
            word = "ohne" if population.negated else "mit"
            children = self._plural(child) if population.negated else self._dative_plural(child)
            return f"{noun} {word} {children}{restriction}"
        return noun + self._restriction(population, population.table, commas)
