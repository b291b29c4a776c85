"""Spanish."""

from __future__ import annotations

from apps.text2sql.pocket.concepts import NUMBER, TEXT
from apps.text2sql.pocket.languages.base import enumerate_words
from apps.text2sql.pocket.languages.es_phrases import SpanishPhrases
from apps.text2sql.pocket.languages.words.es import COLUMNS


class Spanish(SpanishPhrases):
    """Says a question in Spanish."""

    code = "es"

    def _what_is(self, columns: tuple[str, ...], listed: bool) -> str:
        several = len(columns) > 1 or (listed and COLUMNS[columns[0]][2] != "-")
        phrase = self._columns(columns) if listed else self._the_columns(columns)
        return f"¿Cuáles son {phrase}" if several else f"¿Cuál es {phrase}"

    def _how_many(self) -> str:
        return "¿Cuántas" if self._feminine(self.population.table) else "¿Cuántos"

    def _list(self) -> str:
        columns, people = self.query.columns, self._the_people()
        names = self._columns(columns)
        every = "todas" if self._feminine(self.population.table) else "todos"
        return self._pick(
            f"{self._what_is(columns, listed=True)} de {people}?",
            f"Muestra {names} de {every} {people}.",
            f"Indica {names} de {people}.",
        )

    def _distinct(self) -> str:
        column, people = self.query.columns[0], self._the_people()
        article, names = self._agree(column, "los", "las"), self._bare_plural(column)
        different = self._agree(column, "distintos", "distintas")
        return self._pick(
            f"¿Cuáles son {article} {different} {names} de {people}?",
            f"Muestra {article} {different} {names} de {people}.",
            f"Indica sin repetir {article} {names} de {people}.",
        )

    def _count(self) -> str:
        people, noun = self._people(), self._plural(self.population.table)
        return self._pick(
            f"{self._how_many()} {noun} hay{people[len(noun) :]}?",
            f"Cuenta {self._the_people()}.",
            f"¿Cuál es el número de {people}?",
        )

    def _count_distinct(self) -> str:
        column, people = self.query.column, self._the_people()
        names = f"{self._bare_plural(column)} {self._agree(column, 'distintos', 'distintas')}"
        return self._pick(
            f"{self._agree(column, '¿Cuántos', '¿Cuántas')} {names} hay entre {people}?",
            f"Cuenta {self._agree(column, 'los', 'las')} {names} de {people}.",
            f"¿Cuál es el número de {names} de {people}?",
        )

    def _count_known(self) -> str:
        column = self.query.column
        known = self._agree(column, "conocido", "conocida")
        a = self._agree(column, "un", "una")
        many = "cuántas" if self._feminine(self.population.table) else "cuántos"
        return self._pick(
            f"¿De {many} {self._people()} se conoce {self._the_column(column)}?",
            f"Entre {self._the_people()}, ¿{many} tienen {a} {self._column(column)} {known}?",
        )

    def _aggregate(self) -> str:
        column, people = self.query.column, self._the_people()
        words = [self._extreme(a, column) for a in self.query.aggregates]
        the = self._the_column(column)
        if len(words) == 2:
            return self._pick(
                f"¿Cuáles son {the} {words[0]} y {the} {words[1]} de {people}?",
                f"Muestra {the} {words[0]} y {the} {words[1]} de {people}.",
            )
        return self._pick(
            f"¿Cuál es {the} {words[0]} de {people}?",
            f"Muestra {the} {words[0]} de {people}.",
            f"Calcula {the} {words[0]} de {people}."
            if self.query.aggregates[0] in ("avg", "sum")
            else f"Busca {the} {words[0]} de {people}.",
        )

    def _top(self) -> str:
        query, table = self.query, self.population.table
        best = self._superlative(query.column, query.descending)
        among = "" if self.population.plain else f" entre {self._the_people()}"
        if query.limit > 1:
            article = "las" if self._feminine(table) else "los"
            noun = f"{article} {query.limit} {self._plural(table)}"
            return self._pick(
                f"{self._what_is(query.columns, listed=True)} de {noun} con {best}{among}?",
                f"Muestra {self._columns(query.columns)} de {noun} con {best}{among}.",
            )
        names = self._the_columns(query.columns)
        return self._pick(
            f"{self._what_is(query.columns, listed=False)} {self._of_the(table)} con {best}{among}?",
            f"Muestra {names} {self._of_the(table)} con {best}{among}.",
            f"¿Qué {self._noun(table)} tiene {best}{among}? Indica {names}.",
        )

    def _sort(self) -> str:
        query, kind = self.query, self._concept(self.query.column).kind
        names, people, column = self._columns(query.columns), self._the_people(), self._column(query.column)
        if kind == TEXT:
            order = f"por orden alfabético {'inverso ' if query.descending else ''}del {column}"
        elif kind == NUMBER:
            order = f"por {column} de {'mayor a menor' if query.descending else 'menor a mayor'}"
        else:
            first, last = (self._adjective(query.column, way) for way in (query.descending, not query.descending))
            of_the, to_the = self._agree(query.column, "del", "de la"), self._agree(query.column, "al", "a la")
            order = f"por {column}, {of_the} {first} {to_the} {last}"
        return self._pick(
            f"Muestra {names} de {people} {order}." if kind == TEXT else f"Ordena {people} {order} y muestra {names}.",
            f"Indica {names} de {people}, {order}.",
        )

    def _group_count(self) -> str:
        group, people, noun = self._column(self.query.group), self._people(), self._plural(self.population.table)
        how_many = self._how_many()[1:]
        return self._pick(
            f"¿{how_many} {people} hay por cada {group}?"
            if self.population.plain
            else f"Para cada {group}, ¿{how_many.lower()} {noun} hay{people[len(noun) :]}?",
            f"Muestra cada {group} con el número de {people}.",
            f"Para cada {group}, cuenta {self._the_people()}.",
        )

    def _group_aggregate(self) -> str:
        query = self.query
        group, people = self._column(query.group), self._the_people()
        value = f"{self._the_column(query.column)} {self._extreme(query.aggregates[0], query.column)}"
        return self._pick(
            f"¿Cuál es, para cada {group}, {value} de {people}?",
            f"Para cada {group}, muestra {value} de {people}.",
        )

    def _having(self) -> str:
        query = self.query
        names, people = self._bare_plural(query.group), self._people()
        phrase = f"{'al menos' if query.op == '>=' else 'más de'} {query.number} {people}"
        return self._pick(
            f"¿Qué {names} tienen {phrase}?",
            f"Muestra {self._agree(query.group, 'los', 'las')} {names} con {phrase}.",
        )

    def _group_top(self) -> str:
        query = self.query
        group, degree = self._column(query.group), "más" if query.descending else "menos"
        return self._pick(
            f"¿Cuál es {self._the_column(query.group)} {degree} frecuente entre {self._the_people()}?",
            f"¿Qué {group} tiene {degree} {self._people()}?",
        )

    def _join_list(self) -> str:
        query, table = self.query, self.population.table
        names = self._the_columns(query.columns)
        linked = enumerate_words([f"{self._the_column(c)} {self._of_the(t)}" for t, c in query.linked], " y ")
        glue = ", " if len(query.linked) > 1 else " y "
        people = self._the_people()
        if self.population.plain:
            return self._pick(
                f"Para cada {self._noun(table)}, muestra {names}{glue}{linked}.",
                f"Indica {names} de cada {self._noun(table)}{glue}{linked}.",
            )
        every = "todas" if self._feminine(table) else "todos"
        return self._pick(
            f"Para {every} {people}, muestra {names}{glue}{linked}.",
            f"Indica {self._columns(query.columns)} de {people}, junto con {linked}.",
        )

    def _child_count(self) -> str:
        query, table = self.query, self.population.table
        child = query.linked[0][0]
        children, name = self._plural(child), self._the_column(query.columns[0])
        many = "Cuántas" if self._feminine(child) else "Cuántos"
        return self._pick(
            f"¿{many} {children} tiene cada {self._noun(table)}? Muestra {name} y el número.",
            f"Para cada {self._noun(table)}, muestra {name} y el número de {children}.",
        )

    def _child_most(self) -> str:
        query, table = self.query, self.population.table
        children, name = self._plural(query.linked[0][0]), self._the_column(query.columns[0])
        return self._pick(
            f"¿Cuál es {name} {self._of_the(table)} que tiene más {children}?",
            f"¿Qué {self._noun(table)} tiene más {children}? Indica {name}.",
        )

    def _parent_of_top(self) -> str:
        query, table = self.query, self.population.table
        parent, column = query.linked[0]
        best = self._superlative(query.column, query.descending)
        the_child = f"{'la' if self._feminine(table) else 'el'} {self._noun(table)}"
        return self._pick(
            f"¿Cuál es {self._the_column(column)} {self._of_the(parent)} {self._of_the(table)} con {best}?",
            f"Muestra {self._the_column(column)} {self._of_the(parent)} que tiene {the_child} con {best}.",
        )

    def _parent_group(self) -> str:
        query, table = self.query, self.population.table
        parent, column = query.linked[0]
        group, children = f"cada {self._column(column)} {self._of_the(parent)}", self._plural(table)
        article = "las" if self._feminine(table) else "los"
        if not query.aggregates:
            return self._pick(
                f"{self._how_many()} {children} hay por {group}?",
                f"Para {group}, cuenta {article} {children}.",
            )
        value = f"{self._the_column(query.column)} {self._extreme(query.aggregates[0], query.column)}"
        return self._pick(
            f"¿Cuál es {value} de {article} {children} para {group}?",
            f"Para {group}, muestra {value} de {article} {children}.",
        )

    def _combine(self) -> str:
        query = self.query
        names, article = self._bare_plural(query.group), self._agree(query.group, "los", "las")
        left, right = self._the_people(), self._the_people(query.other)
        if query.op == "intersect":
            return self._pick(
                f"¿Qué {names} aparecen tanto entre {left} como entre {right}?",
                f"Muestra {article} {names} que tienen en común {left} y {right}.",
            )
        if query.op == "except":
            return self._pick(
                f"¿Qué {names} aparecen entre {left} pero no entre {right}?",
                f"Muestra {article} {names} de {left}, excepto {article} de {right}.",
            )
        return self._pick(
            f"¿Qué {names} aparecen entre {left} o entre {right}?",
            f"Muestra sin repetir {article} {names} de {left} y de {right}.",
        )
