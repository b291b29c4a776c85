"""French."""

from __future__ import annotations

from apps.text2sql.pocket.concepts import NUMBER, TEXT
from apps.text2sql.pocket.languages.base import enumerate_words
from apps.text2sql.pocket.languages.fr_phrases import FrenchPhrases, elide
from apps.text2sql.pocket.languages.words.fr import COLUMNS


class French(FrenchPhrases):
    """Says a question in French."""

    code = "fr"

    def _which(self, column: str, plural: bool = True) -> str:
        return self._agree(column, "quels" if plural else "quel", "quelles" if plural else "quelle").capitalize()

    def _what_is(self, columns: tuple[str, ...], listed: bool) -> str:
        """Quels sont les noms, Quel est l'âge, Quelles sont les villes et les dates."""
        feminine = all(self._is_feminine(c) for c in columns)
        several = len(columns) > 1 or (listed and COLUMNS[columns[0]][2] != "-")
        phrase = self._columns(columns) if listed else self._the_columns(columns)
        if several:
            return f"{'Quelles' if feminine else 'Quels'} sont {phrase}"
        return f"{'Quelle' if feminine else 'Quel'} est {phrase}"

    def _list(self) -> str:
        columns, people = self.query.columns, self._people()
        names = self._columns(columns)
        return self._pick(
            f"{self._what_is(columns, listed=True)} des {people} ?",
            f"Affiche {names} de tous les {people}."
            if not self._feminine(self.population.table)
            else f"Affiche {names} de toutes les {people}.",
            f"Donne {names} des {people}.",
        )

    def _distinct(self) -> str:
        column, people = self.query.columns[0], self._people()
        different = self._agree(column, "différents", "différentes")
        names = self._bare_plural(column)
        return self._pick(
            f"{self._which(column)} sont les {different} {names} des {people} ?",
            f"Affiche les {different} {names} des {people}.",
            f"Donne sans répétition les {names} des {people}.",
        )

    def _count(self) -> str:
        people = self._people()
        of = elide("de", people)
        return self._pick(
            f"Combien {of} y a-t-il ?" if self.population.plain else f"Combien y a-t-il {of} ?",
            f"Compte les {people}.",
            f"Quel est le nombre {of} ?",
        )

    def _count_distinct(self) -> str:
        column, people = self.query.column, self._people()
        names = f"{self._bare_plural(column)} {self._agree(column, 'différents', 'différentes')}"
        return self._pick(
            f"Combien y a-t-il {elide('de', names)} parmi les {people} ?",
            f"Compte les {names} des {people}.",
            f"Quel est le nombre {elide('de', names)} des {people} ?",
        )

    def _count_known(self) -> str:
        column, people = self.query.column, self._people()
        known, is_it = self._agree(column, "connu", "connue"), self._agree(column, "est-il", "est-elle")
        a = self._agree(column, "un", "une")
        return self._pick(
            f"Pour combien {elide('de', people)} {self._the_column(column)} {is_it} {known} ?",
            f"Parmi les {people}, combien ont {a} {self._column(column)} {known} ?",
        )

    def _aggregate(self) -> str:
        column, people = self.query.column, self._people()
        words = [self._extreme(a, column) for a in self.query.aggregates]
        the = self._the_column(column)
        if len(words) == 2:
            return self._pick(
                f"{self._which(column)} sont {the} {words[0]} et {the} {words[1]} des {people} ?",
                f"Affiche {the} {words[0]} et {the} {words[1]} des {people}.",
            )
        return self._pick(
            f"{self._which(column, False)} est {the} {words[0]} des {people} ?",
            f"Affiche {the} {words[0]} des {people}.",
            f"Calcule {the} {words[0]} des {people}."
            if self.query.aggregates[0] in ("avg", "sum")
            else f"Trouve {the} {words[0]} des {people}.",
        )

    def _top(self) -> str:
        query, table = self.query, self.population.table
        best = self._superlative(query.column, query.descending)
        among = "" if self.population.plain else f" parmi les {self._people()}"
        if query.limit > 1:
            names, noun = self._columns(query.columns), self._plural(table)
            return self._pick(
                f"{self._what_is(query.columns, listed=True)} des {query.limit} {noun} ayant {best}{among} ?",
                f"Affiche {names} des {query.limit} {noun} ayant {best}{among}.",
            )
        names = self._the_columns(query.columns)
        return self._pick(
            f"{self._what_is(query.columns, listed=False)} {self._of_the(table)} ayant {best}{among} ?",
            f"Affiche {names} {self._of_the(table)} ayant {best}{among}.",
            f"{'Quelle' if self._feminine(table) else 'Quel'} {self._noun(table)} a {best}{among} ? Donne {names}.",
        )

    def _sort(self) -> str:
        query, kind = self.query, self._concept(self.query.column).kind
        names, people, column = self._columns(query.columns), self._people(), self._column(query.column)
        if kind == TEXT:
            of_column = self._of(self._the_column(query.column))
            order = f"par ordre alphabétique {'inverse ' if query.descending else ''}{of_column}"
        elif kind == NUMBER:
            way = "décroissant" if query.descending else "croissant"
            order = f"par {column} {way}{self._agree(query.column, '', 'e')}"
        else:
            first, last = ("récente", "ancienne") if query.descending else ("ancienne", "récente")
            order = f"par {column}, de la plus {first} à la plus {last}"
        sort = "classés" if any(not self._is_feminine(c) for c in query.columns) else "classées"
        return self._pick(
            f"Affiche {names} des {people} {order}."
            if kind == TEXT
            else f"Trie les {people} {order} et affiche {names}.",
            f"Donne {names} des {people}, {sort} {order}.",
        )

    def _group_count(self) -> str:
        group, people = self._column(self.query.group), self._people()
        of = elide("de", people)
        return self._pick(
            f"Combien y a-t-il {of} pour chaque {group} ?",
            f"Affiche chaque {group} avec le nombre {of}.",
            f"Pour chaque {group}, compte les {people}.",
        )

    def _group_aggregate(self) -> str:
        query = self.query
        group, people = self._column(query.group), self._people()
        value = f"{self._the_column(query.column)} {self._extreme(query.aggregates[0], query.column)}"
        return self._pick(
            f"{self._which(query.column, False)} est, pour chaque {group}, {value} des {people} ?",
            f"Pour chaque {group}, affiche {value} des {people}.",
        )

    def _having(self) -> str:
        query = self.query
        names, people = self._bare_plural(query.group), self._people()
        bound = "au moins {} {}" if query.op == ">=" else "plus de {} {}"
        phrase = bound.format(query.number, people)
        return self._pick(
            f"{self._which(query.group)} sont les {names} communs à {phrase} ?".replace(
                "communs", self._agree(query.group, "communs", "communes")
            ),
            f"Affiche les {names} qui ont {phrase}.",
        )

    def _group_top(self) -> str:
        query = self.query
        group, people = self._column(query.group), self._people()
        the, which = self._agree(query.group, "le", "la"), self._which(query.group, False)
        adjective = self._agree(query.group, "fréquent", "fréquente") if query.descending else "rare"
        word = "le plus" if query.descending else "le moins"
        return self._pick(
            f"{which} est {self._the_column(query.group)} {the} plus {adjective} parmi les {people} ?",
            f"{which} {group} a {word} {elide('de', people)} ?",
        )

    def _join_list(self) -> str:
        query, table = self.query, self.population.table
        names = self._the_columns(query.columns)
        linked = enumerate_words([f"{self._the_column(c)} {self._of_the(t)}" for t, c in query.linked], " et ")
        glue = ", " if len(query.linked) > 1 else " et "
        people = self._people()
        if self.population.plain:
            return self._pick(
                f"Pour chaque {self._noun(table)}, affiche {names}{glue}{linked}.",
                f"Donne {names} de chaque {self._noun(table)}{glue}{linked}.",
            )
        every = "toutes" if self._feminine(table) else "tous"
        return self._pick(
            f"Pour {every} les {people}, affiche {names}{glue}{linked}.",
            f"Donne {self._columns(query.columns)} des {people} ainsi que {linked}.",
        )

    def _child_count(self) -> str:
        query, table = self.query, self.population.table
        children, name = self._plural(query.linked[0][0]), self._the_column(query.columns[0])
        of = elide("de", children)
        return self._pick(
            f"Combien {of} a chaque {self._noun(table)} ? Affiche {name} et le nombre.",
            f"Pour chaque {self._noun(table)}, affiche {name} et le nombre {of}.",
        )

    def _child_most(self) -> str:
        query, table = self.query, self.population.table
        of, name = elide("de", self._plural(query.linked[0][0])), self._the_column(query.columns[0])
        return self._pick(
            f"Quel est {name} {self._of_the(table)} qui a le plus {of} ?",
            f"{'Quelle' if self._feminine(table) else 'Quel'} {self._noun(table)} a le plus {of} ? Donne {name}.",
        )

    def _parent_of_top(self) -> str:
        query, table = self.query, self.population.table
        parent, column = query.linked[0]
        best = self._superlative(query.column, query.descending)
        target = f"{self._the_column(column)} {self._of_the(parent)}"
        return self._pick(
            f"{self._which(column, False)} est {target} {self._of_the(table)} ayant {best} ?",
            f"Affiche {target} qui a {self._the(table)} ayant {best}.",
        )

    def _parent_group(self) -> str:
        query, table = self.query, self.population.table
        parent, column = query.linked[0]
        group, children = f"chaque {self._column(column)} {self._of_the(parent)}", self._plural(table)
        if not query.aggregates:
            return self._pick(
                f"Combien y a-t-il {elide('de', children)} pour {group} ?",
                f"Pour {group}, compte les {children}.",
            )
        value = f"{self._the_column(query.column)} {self._extreme(query.aggregates[0], query.column)}"
        return self._pick(
            f"{self._which(query.column, False)} est {value} des {children} pour {group} ?",
            f"Pour {group}, affiche {value} des {children}.",
        )

    def _combine(self) -> str:
        query = self.query
        names, which = self._bare_plural(query.group), self._which(query.group)
        left, right = self._people(), self._people(query.other)
        if query.op == "intersect":
            common = self._agree(query.group, "communs", "communes")
            return self._pick(
                f"{which} {names} figurent à la fois parmi les {left} et parmi les {right} ?",
                f"Affiche les {names} {common} aux {left} et aux {right}.",
            )
        if query.op == "except":
            return self._pick(
                f"{which} {names} figurent parmi les {left} mais pas parmi les {right} ?",
                f"Affiche les {names} des {left}, sauf {self._agree(query.group, 'ceux', 'celles')} des {right}.",
            )
        return self._pick(
            f"{which} {names} figurent parmi les {left} ou parmi les {right} ?",
            f"Affiche sans répétition les {names} des {left} et des {right}.",
        )
