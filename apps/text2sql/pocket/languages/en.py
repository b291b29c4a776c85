"""English."""

from __future__ import annotations

from apps.text2sql.pocket.concepts import NUMBER, TEXT
from apps.text2sql.pocket.languages.base import Realiser, enumerate_words
from apps.text2sql.pocket.languages.words.en import COLUMNS
from apps.text2sql.pocket.meaning import Condition, Population, Value

_PLURALS = {"company": "companies", "dish": "dishes", "library": "libraries"}
_SUPERLATIVES = {
    "high": ("highest", "lowest"),
    "big": ("largest", "smallest"),
    "long": ("longest", "shortest"),
    "many": ("highest", "lowest"),
    "late": ("latest", "earliest"),
}
_AGGREGATES = {"avg": "average", "sum": "total", "max": "maximum", "min": "minimum"}


class English(Realiser):
    """Says a question in English."""

    code = "en"

    # --- words ---

    def _singular(self, table: str) -> str:
        return table

    def _plural(self, table: str) -> str:
        return _PLURALS.get(table, table + "s")

    def _column(self, column: str) -> str:
        return COLUMNS[column][0]

    def _columns(self, columns: tuple[str, ...], plural: bool) -> str:
        return enumerate_words([COLUMNS[c][1 if plural else 0] for c in columns], " and ")

    def _value(self, column: str, value: Value) -> str:
        return f'"{value}"' if column == "title" else str(value)

    def _superlative(self, column: str, descending: bool) -> str:
        return f"the {_SUPERLATIVES[self._concept(column).scale][0 if descending else 1]} {self._column(column)}"

    def _extreme(self, aggregate: str, column: str) -> str:
        concept = self._concept(column)
        if aggregate in ("max", "min") and (concept.kind != NUMBER or self.words_of_degree):
            return f"{_SUPERLATIVES[concept.scale][0 if aggregate == 'max' else 1]} {self._column(column)}"
        return f"{_AGGREGATES[aggregate]} {self._column(column)}"

    # --- conditions ---

    def _clause(self, condition: Condition, table: str) -> str:
        """What follows "whose"."""
        column, op = self._column(condition.column), condition.op
        kind = self._concept(condition.column).kind
        values = [self._value(condition.column, v) for v in condition.values]
        if op == "=":
            values = [" or ".join(values)]
        if op == "like":
            return f"{column} {self._pick('starts', 'begins')} with {condition.values[0]}"
        if op == "null":
            return f"{column} is {self._pick('unknown', 'missing')}"
        if op == "known":
            return f"{column} is known"
        if op in ("above_average", "below_average"):
            return f"{column} is {op.split('_')[0]} {self._pick('average', f'the average {column}')}"
        if op in ("maximum", "minimum"):
            return f"{column} equals {self._superlative(condition.column, op == 'maximum')}"
        if op in ("more_than", "less_than"):
            word = self._comparative(kind, op == "more_than")
            label = self._value(self._label(table), condition.values[0])
            return f"{column} is {word} that of the {self._singular(table)} {label}"
        if op == "between":
            return f"{column} is between {values[0]} and {values[1]}"
        if kind == TEXT:
            return f"{column} is {'not ' if op == '!=' else ''}{values[0]}"
        if kind == NUMBER:
            words = {
                ">": self._pick("above", "greater than", "more than"),
                "<": self._pick("below", "less than"),
                ">=": "at least",
                "<=": "at most",
                "=": self._pick("", "exactly"),
            }
            return f"{column} is {words[op]} {values[0]}".replace("  ", " ")
        words = {">": "after {}", "<": "before {}", ">=": "{} or later", "<=": "{} or earlier", "=": "{}"}
        return f"{column} is {words[op].format(values[0])}"

    def _comparative(self, kind: str, more: bool) -> str:
        if kind == NUMBER:
            return "greater than" if more else "less than"
        return "later than" if more else "earlier than"

    def _adjunct(self, condition: Condition, table: str) -> str:
        """A shorter way to say some conditions, to follow the noun; empty if there is none."""
        column, op, kind = condition.column, condition.op, self._thing(table).kind
        if op == "=" and column in ("city", "country"):
            inside = kind == "place" or (kind == "group" and column == "city")
            return f"{'in' if inside else 'from'} {condition.values[0]}"
        if op == "=" and column == "year":
            return f"from the year {condition.values[0]}"
        if op in (">", "<", ">=", "<=", "between"):
            limits = {">": "more than {}", "<": "fewer than {}", ">=": "at least {}", "<=": "at most {}"}
            if len(COLUMNS[column]) > 2:
                limits["between"] = "{} to {}"
                return f"with {limits[op].format(*condition.values)} {COLUMNS[column][2]}"
            if column == "age" and op in (">", "<"):
                return f"{'older' if op == '>' else 'younger'} than {condition.values[0]}"
            if column == "price" and op in (">", "<", ">=", "<="):
                return f"that cost {limits[op].format(condition.values[0]).replace('fewer', 'less')}"
        if op == "null":
            return f"without a known {self._column(column)}"
        if op in ("maximum", "minimum"):
            return f"with {self._superlative(column, op == 'maximum')}"
        return ""

    def _restriction(self, population: Population, table: str) -> str:
        """Conditions after a plural noun; empty without conditions."""
        where = self._conditions(population)
        if not where:
            return ""
        if len(where) == 1 and len(where[0].values) < 2:
            short = self._adjunct(where[0], table)
            if short and self._pick("short", "long") == "short":
                return " " + short
        glue = " or " if population.either else " and "
        clauses = [self._clause(c, table) for c in where]
        return " whose " + f"{glue}whose ".join(clauses)

    def _people(self, population: Population | None = None) -> str:
        """The population as a plural noun phrase without article: songs of singers whose age is above 30."""
        population = population or self.population
        noun = self._plural(population.table)
        if population.path:
            middle = "".join(f" of {self._plural(parent)}" for parent in population.path)
            return noun + middle + self._restriction(population, population.path[-1])
        if population.child:
            child = population.child
            if population.at_least:
                return f"{noun} that have at least {population.at_least} {self._plural(child)}"
            restriction = self._restriction(population, child)
            if population.negated:
                return f"{noun} {self._pick('that have no', 'without any')} {self._plural(child)}{restriction}"
            return f"{noun} that have {self._plural(child)}{restriction}"
        return noun + self._restriction(population, population.table)

    # --- sentences ---

    def _list(self) -> str:
        columns, people = self.query.columns, self._people()
        names = self._columns(columns, plural=True)
        return self._pick(
            f"What are the {names} of the {people}?",
            f"Show the {names} of all {people}.",
            f"List the {names} of the {people}.",
        )

    def _distinct(self) -> str:
        names, people = self._columns(self.query.columns, plural=True), self._people()
        return self._pick(
            f"What are the different {names} of the {people}?",
            f"List the distinct {names} of all {people}.",
            f"Show every {self._column(self.query.columns[0])} of the {people} only once.",
        )

    def _count(self) -> str:
        people = self._people()
        return self._pick(
            f"How many {people} are there?",
            f"Count the {people}.",
            f"What is the number of {people}?",
        )

    def _count_distinct(self) -> str:
        names, people = self._columns((self.query.column,), plural=True), self._people()
        return self._pick(
            f"How many different {names} are there among the {people}?",
            f"Count the different {names} of the {people}.",
            f"How many distinct {names} do the {people} have?"
            if self.population.plain
            else f"What is the number of different {names} of the {people}?",
        )

    def _count_known(self) -> str:
        column, people = self._column(self.query.column), self._people()
        return self._pick(
            f"For how many {people} is the {column} known?",
            f"How many of the {people} have a known {column}?",
            f"Count the {people} with a known {column}."
            if self.population.plain
            else f"Among the {people}, how many have a known {column}?",
        )

    def _aggregate(self) -> str:
        column, people = self.query.column, self._people()
        words = [self._extreme(a, column) for a in self.query.aggregates]
        if len(words) == 2:
            first, second = words[0].rsplit(f" {self._column(column)}", 1)[0], words[1]
            return self._pick(
                f"What are the {first} and the {second} of the {people}?",
                f"Show the {first} and {second} of all {people}.",
            )
        return self._pick(
            f"What is the {words[0]} of the {people}?",
            f"Show the {words[0]} of all {people}.",
            f"Find the {words[0]} of the {people}.",
        )

    def _top(self) -> str:
        query = self.query
        best = self._superlative(query.column, query.descending)
        among = "" if self.population.plain else f" among the {self._people()}"
        if query.limit > 1:
            names, noun = self._columns(query.columns, plural=True), self._plural(self.population.table)
            best = best.replace(self._column(query.column), self._columns((query.column,), plural=True))
            return self._pick(
                f"Show the {names} of the {query.limit} {noun} with {best}{among}.",
                f"What are the {names} of the {query.limit} {noun} with {best}{among}?",
            )
        names, noun = self._columns(query.columns, plural=False), self._singular(self.population.table)
        verb = "is" if len(query.columns) == 1 else "are"
        return self._pick(
            f"What {verb} the {names} of the {noun} with {best}{among}?",
            f"Show the {names} of the {noun} with {best}{among}.",
            f"Find the {noun} with {best}{among} and give its {names}."
            if self._thing(self.population.table).kind != "person"
            else f"Which {noun} has {best}{among}? Show the {names}.",
        )

    def _sort(self) -> str:
        query = self.query
        names, column, people = self._columns(query.columns, plural=True), self._column(query.column), self._people()
        if self._concept(query.column).kind == TEXT:
            order = f"in {'reverse ' if query.descending else ''}alphabetical order of the {column}"
            second = f"sorted by {column} from {'Z to A' if query.descending else 'A to Z'}"
        elif self._concept(query.column).kind == NUMBER:
            order = f"in {'descending' if query.descending else 'ascending'} order of {column}"
            second = f"sorted by {column} from {'high to low' if query.descending else 'low to high'}"
        else:
            order = f"from the {'latest to the earliest' if query.descending else 'earliest to the latest'} {column}"
            second = f"sorted by {column}, {'latest' if query.descending else 'earliest'} first"
        return self._pick(
            f"List the {names} of the {people} {order}.",
            f"Show the {names} of all {people}, {second}.",
        )

    def _group_count(self) -> str:
        group, people = self._column(self.query.group), self._people()
        return self._pick(
            f"How many {people} are there for each {group}?",
            f"Show each {group} with the number of {people}.",
            f"For each {group}, count the {people}.",
        )

    def _group_aggregate(self) -> str:
        query = self.query
        group, value, people = (
            self._column(query.group),
            self._extreme(query.aggregates[0], query.column),
            self._people(),
        )
        return self._pick(
            f"What is the {value} of the {people} for each {group}?",
            f"For each {group}, show the {value} of the {people}.",
            f"Show each {group} with the {value} of its {people}.",
        )

    def _having(self) -> str:
        query = self.query
        names, people = self._columns((query.group,), plural=True), self._people()
        bound = f"{'at least' if query.op == '>=' else 'more than'} {query.number}"
        return self._pick(
            f"Which {names} are shared by {bound} {people}?",
            f"Show the {names} that have {bound} {people}.",
        )

    def _group_top(self) -> str:
        query = self.query
        group, people = self._column(query.group), self._people()
        word, most = ("most", "most") if query.descending else ("least", "fewest")
        return self._pick(
            f"What is the {word} common {group} among the {people}?",
            f"Which {group} has the {most} {people}?",
        )

    def _join_list(self) -> str:
        query = self.query
        names = self._columns(query.columns, plural=False)
        linked = enumerate_words(
            [f"the {self._column(c)} of the {self._singular(t)}" for t, c in query.linked], " and "
        )
        if self.population.plain:
            noun = self._singular(self.population.table)
            second = f"What is the {names} of each {noun} and {linked}?"
            if len(query.linked) > 1:
                second = f"List each {noun} with its {names}, {linked}."
            return self._pick(f"For each {noun}, show the {names} and {linked}.", second)
        glue = ", " if len(query.linked) > 1 else " and "
        plural = self._columns(query.columns, plural=True)
        return self._pick(
            f"For all {self._people()}, show the {names}{glue}{linked}.",
            f"List the {plural} of the {self._people()}, together with {linked}.",
        )

    def _child_count(self) -> str:
        query = self.query
        name, noun, children = (
            self._column(query.columns[0]),
            self._singular(self.population.table),
            self._plural(query.linked[0][0]),
        )
        return self._pick(
            f"How many {children} does each {noun} have? Show the {name} and the number.",
            f"For each {noun}, show the {name} and the number of {children}.",
            f"List the {name} of every {noun} with the number of {children}.",
        )

    def _child_most(self) -> str:
        query = self.query
        name, noun, children = (
            self._column(query.columns[0]),
            self._singular(self.population.table),
            self._plural(query.linked[0][0]),
        )
        return self._pick(
            f"What is the {name} of the {noun} with the most {children}?",
            f"Which {noun} has the most {children}? Show the {name}.",
            f"Show the {name} of the {noun} that has the highest number of {children}.",
        )

    def _parent_of_top(self) -> str:
        query = self.query
        parent, column = query.linked[0]
        best, noun = self._superlative(query.column, query.descending), self._singular(self.population.table)
        return self._pick(
            f"What is the {self._column(column)} of the {self._singular(parent)} of the {noun} with {best}?",
            f"Show the {self._column(column)} of the {self._singular(parent)} that has the {noun} with {best}.",
        )

    def _parent_group(self) -> str:
        query = self.query
        parent, column = query.linked[0]
        group, children = (
            f"{self._column(column)} of the {self._singular(parent)}",
            self._plural(self.population.table),
        )
        if not query.aggregates:
            return self._pick(
                f"How many {children} are there for each {group}?",
                f"For each {group}, count the {children}.",
            )
        value = self._extreme(query.aggregates[0], query.column)
        return self._pick(
            f"What is the {value} of the {children} for each {group}?",
            f"For each {group}, show the {value} of the {children}.",
        )

    def _combine(self) -> str:
        query = self.query
        names = self._columns((query.group,), plural=True)
        left, right = self._people(), self._people(query.other)
        if query.op == "intersect":
            return self._pick(
                f"Which {names} occur both among the {left} and among the {right}?",
                f"Show the {names} that the {left} and the {right} have in common.",
            )
        if query.op == "except":
            return self._pick(
                f"Which {names} occur among the {left} but not among the {right}?",
                f"Show the {names} of the {left} that are not found among the {right}.",
            )
        return self._pick(
            f"Which {names} occur among the {left} or among the {right}?",
            f"Show all {names} of the {left} and of the {right} in one list without repeats.",
        )
