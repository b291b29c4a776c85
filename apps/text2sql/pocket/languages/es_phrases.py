"""Spanish words, conditions and noun phrases."""

from __future__ import annotations

from apps.text2sql.pocket.concepts import DATE, NUMBER, TEXT
from apps.text2sql.pocket.languages.base import Realiser, enumerate_words
from apps.text2sql.pocket.languages.words.es import COLUMNS, THINGS
from apps.text2sql.pocket.meaning import Condition, Population, Value

# Superlatives after the noun: masculine | feminine.
_SUPERLATIVES = {
    "high": (("más alto", "más alta"), ("más bajo", "más baja")),
    "big": (("más grande", "más grande"), ("más pequeño", "más pequeña")),
    "long": (("más largo", "más larga"), ("más corto", "más corta")),
    "many": (("más alto", "más alta"), ("más bajo", "más baja")),
    "late": (("más reciente", "más reciente"), ("más antiguo", "más antigua")),
}
_AGGREGATES = {
    "avg": ("medio", "media"),
    "sum": ("total", "total"),
    "max": ("máximo", "máxima"),
    "min": ("mínimo", "mínima"),
}


class SpanishPhrases(Realiser):
    """The pieces of a Spanish question."""

    # --- words ---

    def _feminine(self, table: str) -> bool:
        return THINGS[table][0] == "f"

    def _noun(self, table: str) -> str:
        return THINGS[table][1]

    def _plural(self, table: str) -> str:
        return THINGS[table][2]

    def _the_plural(self, population: Population, people: str) -> str:
        return f"{'las' if self._feminine(population.table) else 'los'} {people}"

    def _of_the(self, table: str) -> str:
        return f"de la {self._noun(table)}" if self._feminine(table) else f"del {self._noun(table)}"

    def _is_feminine(self, column: str) -> bool:
        return COLUMNS[column][0] == "f"

    def _agree(self, column: str, masculine: str, feminine: str) -> str:
        return feminine if self._is_feminine(column) else masculine

    def _column(self, column: str) -> str:
        return COLUMNS[column][1]

    def _the_column(self, column: str) -> str:
        return f"{self._agree(column, 'el', 'la')} {self._column(column)}"

    def _bare_plural(self, column: str) -> str:
        plural = COLUMNS[column][2]
        return self._column(column) if plural == "-" else plural

    def _columns(self, columns: tuple[str, ...]) -> str:
        """Los nombres y las edades."""
        words = []
        for c in columns:
            plural = COLUMNS[c][2]
            words.append(self._the_column(c) if plural == "-" else f"{self._agree(c, 'los', 'las')} {plural}")
        return enumerate_words(words, " y ")

    def _the_columns(self, columns: tuple[str, ...]) -> str:
        return enumerate_words([self._the_column(c) for c in columns], " y ")

    def _value(self, column: str, value: Value) -> str:
        return f"«{value}»" if column == "title" else str(value)

    def _adjective(self, column: str, descending: bool) -> str:
        pair = _SUPERLATIVES[self._concept(column).scale][0 if descending else 1]
        return pair[1] if self._is_feminine(column) else pair[0]

    def _superlative(self, column: str, descending: bool) -> str:
        """La edad más alta."""
        return f"{self._the_column(column)} {self._adjective(column, descending)}"

    def _extreme(self, aggregate: str, column: str) -> str:
        kind = self._concept(column).kind
        if aggregate in ("max", "min") and (kind != NUMBER or self.words_of_degree):
            return self._adjective(column, aggregate == "max")
        return self._agree(column, *_AGGREGATES[aggregate])

    # --- conditions ---

    def _clause(self, condition: Condition, table: str) -> str:
        """Cuya edad es mayor que 30."""
        column, op = condition.column, condition.op
        whose = f"{self._agree(column, 'cuyo', 'cuya')} {self._column(column)}"
        kind = self._concept(column).kind
        values = [self._value(column, v) for v in condition.values]
        if op == "=":
            values = [" o ".join(values)]
        if op == "like":
            return f"{whose} {self._pick('empieza por', 'comienza con')} {condition.values[0]}"
        if op == "null":
            return f"{whose} es {self._agree(column, 'desconocido', 'desconocida')}"
        if op == "known":
            return f"{whose} es {self._agree(column, 'conocido', 'conocida')}"
        if op in ("above_average", "below_average"):
            return f"{whose} está por {'encima' if op == 'above_average' else 'debajo'} de la media"
        if op in ("maximum", "minimum"):
            return f"{whose} es {self._agree(column, 'el', 'la')} {self._adjective(column, op == 'maximum')}"
        if op in ("more_than", "less_than"):
            words = ("mayor", "menor") if kind == NUMBER else ("posterior", "anterior")
            label = self._value(self._label(table), condition.values[0])
            glue = f"que {self._agree(column, 'el', 'la')}" if kind == NUMBER else self._agree(column, "al", "a la")
            return f"{whose} es {words[op == 'less_than']} {glue} {self._of_the(table)} {label}"
        the = "el " if kind == DATE else ""
        if op == "between":
            return f"{whose} está entre {the}{values[0]} y {the}{values[1]}"
        if kind == TEXT:
            return f"{whose} {'no es' if op == '!=' else 'es'} {values[0]}"
        if kind == NUMBER:
            forms = {">": "es mayor que {}", "<": "es menor que {}", "=": "es {}"}
            forms |= {">=": "es como mínimo {}", "<=": "es como máximo {}"}
        else:
            to = "al" if kind == DATE else "a"
            forms = {">": f"es posterior {to} {{}}", "<": f"es anterior {to} {{}}", "=": "es {}"}
            forms |= {">=": "es {} o posterior", "<=": "es {} o anterior"}
        return f"{whose} {forms[op].format(values[0])}"

    def _adjunct(self, condition: Condition, table: str) -> str:
        """A way to say some conditions without "cuyo"; empty if there is none."""
        column, op, values = condition.column, condition.op, condition.values
        if op in (">", "<", ">=", "<=", "between") and len(COLUMNS[column]) > 3:
            forms = {
                ">": "más de {}",
                "<": "menos de {}",
                ">=": "al menos {}",
                "<=": "como máximo {}",
                "between": "{} a {}",
            }
            return f"con {forms[op].format(*values)} {COLUMNS[column][3]}"
        if column == "age" and op in (">", "<"):
            return f"de {'más' if op == '>' else 'menos'} de {values[0]} años"
        if column == "year" and op == "=":
            return f"del año {values[0]}"
        if op == "=" and column in ("city", "country"):
            kind = self._thing(table).kind
            inside = kind == "place" or (kind == "group" and column == "city")
            return f"{'en' if inside else 'de'} {values[0]}"
        if op == "null":
            return f"sin {self._column(column)} {self._agree(column, 'conocido', 'conocida')}"
        if op in ("maximum", "minimum"):
            return f"con {self._superlative(column, op == 'maximum')}"
        return ""

    def _restriction(self, population: Population, table: str) -> str:
        where = self._conditions(population)
        if not where:
            return ""
        if len(where) == 1 and len(where[0].values) < 2:
            short = self._adjunct(where[0], table)
            if short and self._pick("short", "long") == "short":
                return " " + short
        glue = " o " if population.either else " y "
        return " " + glue.join(self._clause(c, table) for c in where)

    def _people(self, population: Population | None = None) -> str:
        """The population as a plural noun phrase without article."""
        population = population or self.population
        noun = self._plural(population.table)
        if population.path:
            middle = "".join(f" de {self._plural(parent)}" for parent in population.path)
            return noun + middle + self._restriction(population, population.path[-1])
        if population.child:
            child = population.child
            if population.at_least:
                return f"{noun} que tienen al menos {population.at_least} {self._plural(child)}"
            restriction = self._restriction(population, child)
            if population.negated and not population.where:
                return self._pick(f"{noun} sin {self._plural(child)}", f"{noun} que no tienen {self._plural(child)}")
            if population.negated:
                none = "ninguna" if self._feminine(child) else "ningún"
                return f"{noun} que no tienen {none} {self._noun(child)}{restriction}"
            return f"{noun} que tienen {self._plural(child)}{restriction}"
        return noun + self._restriction(population, population.table)

    def _the_people(self, population: Population | None = None) -> str:
        population = population or self.population
        return self._the_plural(population, self._people(population))
