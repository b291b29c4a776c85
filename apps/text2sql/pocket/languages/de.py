"""German."""

from __future__ import annotations

from apps.text2sql.pocket.concepts import NUMBER, TEXT
from apps.text2sql.pocket.languages.base import enumerate_words
from apps.text2sql.pocket.languages.de_phrases import GermanPhrases
from apps.text2sql.pocket.languages.words.de import COLUMNS


class German(GermanPhrases):
    """Says a question in German."""

    code = "de"

    def _list(self) -> str:
        query, people = self.query, self._people()
        names = self._columns(query.columns)
        have = ", ".join(COLUMNS[c][3] for c in query.columns)
        third = f"Welche {have} haben die {people}?"
        if len(query.columns) > 1 or have == "-" or self._thing(self.population.table).kind != "person":
            third = f"Gib mir {names} der {people}."
        return self._pick(f"Zeige {names} aller {people}.", f"Nenne {names} der {people}.", third)

    def _distinct(self) -> str:
        names, people = self._bare_plural(self.query.columns[0]), self._people()
        return self._pick(
            f"Zeige die verschiedenen {names} der {people}.",
            f"Welche verschiedenen {names} gibt es bei den {self._people(case='dat')}?",
            f"Nenne ohne Wiederholung die {names} aller {people}.",
        )

    def _count(self) -> str:
        return self._pick(
            f"Wie viele {self._people(commas=True)} gibt es?",
            f"Zähle die {self._people()}.",
            f"Wie groß ist die Anzahl der {self._people()}?",
        )

    def _count_distinct(self) -> str:
        names = self._bare_plural(self.query.column)
        return self._pick(
            f"Wie viele verschiedene {names} gibt es bei den {self._people(case='dat')}?",
            f"Zähle die verschiedenen {names} der {self._people()}.",
            f"Wie groß ist die Anzahl verschiedener {names} der {self._people()}?",
        )

    def _count_known(self) -> str:
        column = self._the_column(self.query.column)
        return self._pick(
            f"Bei wie vielen {self._people(case='dat', commas=True)} ist {column} bekannt?",
            f"Für wie viele {self._people(commas=True)} kennt man {self._the_column(self.query.column, 'acc')}?",
            f"Wie oft ist {column} der {self._people(commas=True)} bekannt?",
        )

    def _aggregate(self) -> str:
        column, people = self.query.column, self._people()
        if len(self.query.aggregates) == 2:
            first, second = (self._extreme(a, column, "nom") for a in self.query.aggregates)
            first = first.rsplit(" ", 1)[0]
            accusative = [self._extreme(a, column, "acc") for a in self.query.aggregates]
            accusative[0] = accusative[0].rsplit(" ", 1)[0]
            return self._pick(
                f"Wie groß sind {first} und {second} der {people}?"
                if self._concept(column).kind == NUMBER
                else f"Was sind {first} und {second} der {people}?",
                f"Zeige {accusative[0]} und {accusative[1]} der {people}.",
            )
        aggregate = self.query.aggregates[0]
        question = "Wie hoch ist" if self._concept(column).kind == NUMBER else "Was ist"
        return self._pick(
            f"{question} {self._extreme(aggregate, column, 'nom')} der {people}?",
            f"Zeige {self._extreme(aggregate, column, 'acc')} aller {people}.",
            f"Bestimme {self._extreme(aggregate, column, 'acc')} der {people}.",
        )

    def _top(self) -> str:
        query, table = self.query, self.population.table
        best = self._superlative(query.column, query.descending, "dat")
        plain = self.population.plain
        if query.limit > 1:
            names, noun, number = self._columns(query.columns), self._plural(table), query.limit
            if plain:
                return self._pick(
                    f"Zeige {names} der {number} {noun} mit {best}.",
                    f"Nenne {names} der {number} {noun} mit {best}.",
                )
            among = self._people(case="dat", commas=True)
            return self._pick(
                f"Zeige unter den {among} {names} der {number} mit {best}.",
                f"Nenne von den {among} {names} der {number} mit {best}.",
            )
        if plain:
            which = {"m": "Welcher", "f": "Welche", "n": "Welches"}[self._gender(table)]
            first = self._superlative(query.column, query.descending, "acc")
            return self._pick(
                f"Zeige {self._the_columns(query.columns, 'acc')} {self._the(table, 'gen')} mit {best}.",
                f"{which} {self._noun(table)} hat {first}? Nenne {self._the_columns(query.columns, 'acc')}.",
            )
        among = self._people(case="dat", commas=True)
        return self._pick(
            f"Zeige unter den {among} {self._the_columns(query.columns, 'acc')} {self._the(table, 'gen')} mit {best}.",
            f"Nenne von den {among} {self._the_columns(query.columns, 'acc')} {self._the(table, 'gen')} mit {best}.",
        )

    def _sort(self) -> str:
        query, kind = self.query, self._concept(self.query.column).kind
        names, people = self._columns(query.columns), self._people()
        column, tail = self._column(query.column, "dat"), ""
        if kind == TEXT:
            order = f"alphabetisch {'absteigend ' if query.descending else ''}nach {column}"
        elif kind == NUMBER:
            order = f"{'absteigend' if query.descending else 'aufsteigend'} nach {column}"
        else:
            order, tail = f"nach {column}", f", {'das späteste' if query.descending else 'das früheste'} zuerst"
        return self._pick(
            f"Zeige {names} der {people}, {order} sortiert{tail}.",
            f"Nenne {names} aller {people}, {order} geordnet{tail}.",
        )

    def _group_count(self) -> str:
        group = self.query.group
        each = {"m": "jeden", "f": "jede", "n": "jedes"}[COLUMNS[group][0]]
        to_each = {"m": "jedem", "f": "jeder", "n": "jedem"}[COLUMNS[group][0]]
        column = self._column(group, "acc")
        return self._pick(
            f"Wie viele {self._people(commas=True)} gibt es für {each} {column}?",
            f"Zähle für {each} {column} die {self._people()}.",
            f"Zeige zu {to_each} {self._column(group, 'dat')} die Anzahl der {self._people()}.",
        )

    def _group_aggregate(self) -> str:
        query, group = self.query, self.query.group
        each = {"m": "jeden", "f": "jede", "n": "jedes"}[COLUMNS[group][0]]
        to_each = {"m": "jedem", "f": "jeder", "n": "jedem"}[COLUMNS[group][0]]
        people = self._people()
        value, shown = (self._extreme(query.aggregates[0], query.column, case) for case in ("nom", "acc"))
        question = "Wie hoch ist" if self._concept(query.column).kind == NUMBER else "Was ist"
        return self._pick(
            f"{question} für {each} {self._column(group, 'acc')} {value} der {people}?",
            f"Zeige zu {to_each} {self._column(group, 'dat')} {shown} der {people}.",
        )

    def _having(self) -> str:
        query = self.query
        bound = f"{'mindestens' if query.op == '>=' else 'mehr als'} {query.number}"
        names = self._bare_plural(query.group)
        return self._pick(
            f"Welche {names} kommen bei {bound} {self._people(case='dat', commas=True)} vor?",
            f"Zeige die {names} mit {bound} {self._people(case='dat')}.",
        )

    def _group_top(self) -> str:
        query = self.query
        gender, column = COLUMNS[query.group][0], self._column(query.group)
        which = {"m": "Welcher", "f": "Welche", "n": "Welches"}[gender]
        word = "häufigsten" if query.descending else "seltensten"
        most = "meisten" if query.descending else "wenigsten"
        return self._pick(
            f"{which} {column} kommt bei den {self._people(case='dat', commas=True)} am {word} vor?",
            f"{which} {column} hat die {most} {self._people()}?",
        )

    def _join_list(self) -> str:
        query, table = self.query, self.population.table
        names = self._the_columns(query.columns, "acc")
        linked = enumerate_words(
            [f"{self._the_column(c, 'acc')} {self._the(t, 'gen')}" for t, c in query.linked], " und "
        )
        glue = ", " if len(query.linked) > 1 else " und "
        if self.population.plain:
            to_each = {"m": "jedem", "f": "jeder", "n": "jedem"}[self._gender(table)]
            return self._pick(
                f"Zeige zu {to_each} {self._noun(table, 'dat')} {names}{glue}{linked}.",
                f"Nenne für {self._each(table)} {names}{glue}{linked}.",
            )
        return self._pick(
            f"Zeige für alle {self._people(commas=True)} {names}{glue}{linked}.",
            f"Nenne zu den {self._people(case='dat', commas=True)} jeweils {names}{glue}{linked}.",
        )

    def _child_count(self) -> str:
        query, table = self.query, self.population.table
        children, name = self._plural(query.linked[0][0]), self._the_column(query.columns[0], "acc")
        each = {"m": "jeder", "f": "jede", "n": "jedes"}[self._gender(table)]
        return self._pick(
            f"Wie viele {children} hat {each} {self._noun(table)}? Nenne {name} und die Anzahl.",
            f"Zeige für {self._each(table)} {name} und die Anzahl der {children}.",
        )

    def _child_most(self) -> str:
        query, table = self.query, self.population.table
        children, name = self._plural(query.linked[0][0]), self._the_column(query.columns[0], "acc")
        which = {"m": "Welcher", "f": "Welche", "n": "Welches"}[self._gender(table)]
        return self._pick(
            f"{which} {self._noun(table)} hat die meisten {children}? Nenne {name}.",
            f"Zeige {name} {self._the(table, 'gen')} mit den meisten {self._dative_plural(query.linked[0][0])}.",
        )

    def _parent_of_top(self) -> str:
        query, table = self.query, self.population.table
        parent, column = query.linked[0]
        best = self._superlative(query.column, query.descending, "dat")
        owner = self._the(parent, "gen")
        which = {"m": "welchem", "f": "welcher", "n": "welchem"}[self._gender(parent)]
        return self._pick(
            f"Zeige {self._the_column(column, 'acc')} {owner} {self._the(table, 'gen')} mit {best}.",
            f"Zu {which} {self._noun(parent, 'dat')} gehört {self._the(table, 'nom')} mit {best}? "
            f"Nenne {self._the_column(column, 'acc')}.",
        )

    def _parent_group(self) -> str:
        query, table = self.query, self.population.table
        parent, column = query.linked[0]
        gender = COLUMNS[column][0]
        each = {"m": "jeden", "f": "jede", "n": "jedes"}[gender]
        to_each = {"m": "jedem", "f": "jeder", "n": "jedem"}[gender]
        owner = self._the(parent, "gen")
        group = f"{each} {self._column(column, 'acc')} {owner}"
        if not query.aggregates:
            return self._pick(
                f"Wie viele {self._plural(table)} gibt es für {group}?",
                f"Zähle die {self._plural(table)} für {group}.",
            )
        value, shown = (self._extreme(query.aggregates[0], query.column, case) for case in ("nom", "acc"))
        question = "Wie hoch ist" if self._concept(query.column).kind == NUMBER else "Was ist"
        return self._pick(
            f"{question} {value} der {self._plural(table)} für {group}?",
            f"Zeige zu {to_each} {self._column(column, 'dat')} {owner} {shown} der {self._plural(table)}.",
        )

    def _combine(self) -> str:
        query = self.query
        names = self._bare_plural(query.group)
        left, right = self._people(case="dat", commas=True), self._people(query.other, "dat", commas=True)
        ending = self._people(query.other, "dat")
        if query.op == "intersect":
            return self._pick(
                f"Welche {names} kommen sowohl bei den {left} als auch bei den {right} vor?",
                f"Zeige die {names}, die es bei den {left} und auch bei den {right} gibt.",
            )
        if query.op == "except":
            return self._pick(
                f"Welche {names} kommen bei den {left} vor, aber nicht bei den {ending}?",
                f"Zeige die {names} der {self._people(commas=True)} ohne die {names} der {self._people(query.other)}.",
            )
        return self._pick(
            f"Welche {names} kommen bei den {left} oder bei den {right} vor?",
            f"Nenne ohne Wiederholung alle {names} bei den {left} und bei den {ending}.",
        )
