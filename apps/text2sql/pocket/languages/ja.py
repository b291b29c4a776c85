"""Japanese."""

from __future__ import annotations

from apps.text2sql.pocket.concepts import NUMBER, TEXT
from apps.text2sql.pocket.languages.base import Realiser, enumerate_words
from apps.text2sql.pocket.languages.words.ja import COLUMNS, THINGS
from apps.text2sql.pocket.meaning import Condition, Population, Value

# Adjectives for more and for less.
_SCALES = {
    "high": ("高い", "低い"),
    "big": ("大きい", "小さい"),
    "long": ("長い", "短い"),
    "many": ("多い", "少ない"),
    "late": ("遅い", "早い"),
}
_ADJECTIVES = {
    "year": ("新しい", "古い"),
    "weight": ("重い", "軽い"),
    "speed": ("速い", "遅い"),
    "area": ("広い", "狭い"),
    "capacity": ("多い", "少ない"),
    "quantity": ("多い", "少ない"),
    "points": ("高い", "低い"),
    "calories": ("高い", "低い"),
}
_AGGREGATES = {"avg": "平均", "sum": "合計", "max": "最大値", "min": "最小値"}


class Japanese(Realiser):
    """Says a question in Japanese."""

    code = "ja"

    # --- words ---

    def _noun(self, table: str) -> str:
        return THINGS[table][0]

    def _counter(self, table: str) -> str:
        return THINGS[table][1]

    def _is_there(self, table: str) -> str:
        return "いる" if self._thing(table).kind in ("person", "animal") else "ある"

    def _are_there(self, table: str) -> str:
        return "いますか" if self._thing(table).kind in ("person", "animal") else "ありますか"

    def _column(self, column: str) -> str:
        return COLUMNS[column][0]

    def _columns(self, columns: tuple[str, ...]) -> str:
        return "と".join(self._column(c) for c in columns)

    def _value(self, column: str, value: Value) -> str:
        if column == "title":
            return f"『{value}』"
        return f"「{value}」" if isinstance(value, str) and self._concept(column).kind == TEXT else str(value)

    def _adjective(self, column: str, descending: bool) -> str:
        pair = _ADJECTIVES.get(column) or _SCALES[self._concept(column).scale]
        return pair[0 if descending else 1]

    def _best(self, column: str, descending: bool) -> str:
        """年齢が最も高い."""
        return f"{self._column(column)}が最も{self._adjective(column, descending)}"

    def _extreme(self, aggregate: str, column: str) -> str:
        if self._concept(column).kind != NUMBER:
            return f"最も{self._adjective(column, aggregate == 'max')}{self._column(column)}"
        return f"{self._column(column)}の{_AGGREGATES[aggregate]}"

    # --- conditions ---

    def _forms(self, condition: Condition, table: str) -> tuple[str, str, str]:
        """A condition before a noun, before another condition ("and"), and before an alternative ("or")."""
        op, kind = condition.op, self._concept(condition.column).kind
        subject = f"{self._column(condition.column)}が"
        values = [self._value(condition.column, v) for v in condition.values]

        def noun(text: str) -> tuple[str, str, str]:
            return f"{subject}{text}の", f"{subject}{text}で、", f"{subject}{text}か、"

        if op == "like":
            letter = f"「{condition.values[0]}」"
            return f"{subject}{letter}で始まる", f"{subject}{letter}で始まり、", f"{subject}{letter}で始まるか、"
        if op == "null":
            word = self._pick("不明", "未登録")
            return f"{subject}{word}{'な' if word == '不明' else 'の'}", f"{subject}{word}で、", f"{subject}{word}か、"
        if op == "known":
            return f"{subject}分かっている", f"{subject}分かっていて、", f"{subject}分かっているか、"
        if op in ("above_average", "below_average"):
            verb = "上回" if op == "above_average" else "下回"
            return f"{subject}平均を{verb}る", f"{subject}平均を{verb}り、", f"{subject}平均を{verb}るか、"
        if op in ("maximum", "minimum"):
            if kind == NUMBER:
                return noun("最大" if op == "maximum" else "最小")
            most = f"{subject}最も{self._adjective(condition.column, op == 'maximum')}"
            return most, f"{most[:-1]}く、", f"{most}か、"
        if op in ("more_than", "less_than"):
            label = self._value(self._label(table), condition.values[0])
            adjective = self._adjective(condition.column, op == "more_than")
            than = f"{subject}{self._noun(table)}{label}より{adjective}"
            return than, f"{than[:-1]}く、", f"{than}か、"
        if op == "between":
            return noun(f"{values[0]}から{values[1]}まで")
        if kind == TEXT:
            if op == "!=":
                return (
                    f"{subject}{values[0]}ではない",
                    f"{subject}{values[0]}ではなく、",
                    f"{subject}{values[0]}ではないか、",
                )
            return noun("か".join(values))
        value = "か".join(values)
        if op == ">" and kind == NUMBER:
            if self._pick("a", "b") == "a":
                return f"{subject}{value}を超える", f"{subject}{value}を超え、", f"{subject}{value}を超えるか、"
            more = f"{subject}{value}より{self._adjective(condition.column, True)}"
            return more, f"{more[:-1]}く、", f"{more}か、"
        words = {">": "より後", "<": "未満" if kind == NUMBER else "より前", ">=": "以上", "<=": "以下", "=": ""}
        if kind != NUMBER:
            words |= {">=": "以降", "<=": "以前"}
        return noun(value + words[op])

    def _restriction(self, population: Population, table: str) -> str:
        where = self._conditions(population)
        if not where:
            return ""
        if len(where) == 1 and len(where[0].values) < 2 and self._pick("short", "long") == "short":
            column, op = where[0].column, where[0].op
            if column == "year" and op in ("=", ">", "<", ">=", "<="):
                since = {"=": "", ">": "より後", "<": "より前", ">=": "以降", "<=": "以前"}[op]
                return f"{where[0].values[0]}年{since}の"
            if op == "=" and column in ("city", "country"):
                kind = self._thing(table).kind
                inside = kind == "place" or (kind == "group" and column == "city")
                return f"「{where[0].values[0]}」{'にある' if inside else '出身の' if kind == 'person' else 'の'}"
        last = 2 if population.either else 1
        pieces = [self._forms(c, table) for c in where]
        return "".join(piece[last] for piece in pieces[:-1]) + pieces[-1][0]

    def _people(self, population: Population | None = None) -> str:
        """The population as a noun phrase."""
        population = population or self.population
        noun = self._noun(population.table)
        if population.path:
            chain = "の".join(self._noun(parent) for parent in reversed(population.path))
            return f"{self._restriction(population, population.path[-1])}{chain}の{noun}"
        if population.child:
            child, verb = self._noun(population.child), self._is_there(population.child)
            if population.at_least:
                return f"{child}が{population.at_least}{self._counter(population.child)}以上{verb}{noun}"
            restriction = self._restriction(population, population.child)
            if population.negated:
                none = "いない" if verb == "いる" else "ない"
                some = "" if restriction else f"1{self._counter(population.child)}も"
                return f"{restriction}{child}が{some}{none}{noun}"
            return f"{restriction}{child}が{verb}{noun}"
        return self._restriction(population, population.table) + noun

    # --- sentences ---

    def _list(self) -> str:
        names, people = self._columns(self.query.columns), self._people()
        return self._pick(
            f"{people}の{names}は何ですか。"
            if self._concept(self.query.columns[0]).kind == TEXT
            else f"{people}の{names}を一覧にしてください。",
            f"{people}の{names}をすべて表示してください。",
            f"すべての{people}の{names}を教えてください。"
            if self.population.plain
            else f"{people}について、{names}を教えてください。",
        )

    def _distinct(self) -> str:
        names, people = self._columns(self.query.columns), self._people()
        return self._pick(
            f"{people}の{names}を重複なしで表示してください。",
            f"{people}の異なる{names}は何ですか。",
            f"{people}の{names}にはどんなものがありますか。重複なしで教えてください。",
        )

    def _count(self) -> str:
        people, table = self._people(), self.population.table
        return self._pick(
            f"{people}は何{self._counter(table)}{self._are_there(table)}。",
            f"{people}の数を数えてください。",
            f"{people}の数はいくつですか。",
        )

    def _count_distinct(self) -> str:
        column, people = self._column(self.query.column), self._people()
        return self._pick(
            f"{people}の異なる{column}はいくつありますか。",
            f"{people}の{column}は重複を除いていくつありますか。",
        )

    def _count_known(self) -> str:
        column, people, table = self._column(self.query.column), self._people(), self.population.table
        how_many = f"何{self._counter(table)}{self._are_there(table)}"
        return self._pick(
            f"{people}のうち、{column}が分かっているのは何{self._counter(table)}ですか。",
            f"{column}が分かっている{people}は何{self._counter(table)}{self._are_there(table)}。"
            if self.population.plain
            else f"{people}の中で、{column}が分かっているものの数はいくつですか。"
            if self._is_there(table) == "ある"
            else f"{people}の中に、{column}が分かっている{self._noun(table)}は{how_many}。",
        )

    def _aggregate(self) -> str:
        column, people = self.query.column, self._people()
        words = "と".join(self._extreme(a, column) for a in self.query.aggregates)
        if self._concept(column).kind == NUMBER:
            words = f"{self._column(column)}の" + "と".join(_AGGREGATES[a] for a in self.query.aggregates)
        ask = "いくつですか" if self._concept(column).kind == NUMBER else "いつですか"
        return self._pick(
            f"{people}の{words}は{ask}。",
            f"{people}の{words}を求めてください。",
            f"{people}の{words}を教えてください。",
        )

    def _top(self) -> str:
        query, table = self.query, self.population.table
        names, noun, best = self._columns(query.columns), self._noun(table), self._best(query.column, query.descending)
        among = "" if self.population.plain else f"{self._people()}の中で、"
        if query.limit > 1:
            order = f"{self._column(query.column)}が{self._adjective(query.column, query.descending)}"
            return self._pick(
                f"{among}{order}順に上位{query.limit}{self._counter(table)}の{noun}の{names}を表示してください。",
                f"{among}{order}ほうから{query.limit}{self._counter(table)}の{noun}の{names}は何ですか。",
            )
        return self._pick(
            f"{among}{best}{noun}の{names}は何ですか。",
            f"{among}{best}{noun}の{names}を教えてください。",
            f"{among}{best}のはどの{noun}ですか。{names}を表示してください。",
        )

    def _sort(self) -> str:
        query, kind = self.query, self._concept(self.query.column).kind
        names, column, people = self._columns(query.columns), self._column(query.column), self._people()
        if kind == TEXT:
            order = f"{column}のアルファベット{'の逆順' if query.descending else '順'}"
        else:
            order = f"{column}の{self._adjective(query.column, query.descending)}順"
        return self._pick(
            f"{people}の{names}を{order}に表示してください。",
            f"{people}を{order}に並べて、{names}を教えてください。",
        )

    def _group_count(self) -> str:
        group, people, table = self._column(self.query.group), self._people(), self.population.table
        return self._pick(
            f"{group}ごとに、{people}は何{self._counter(table)}{self._are_there(table)}。",
            f"{group}ごとの{people}の数を表示してください。"
            if self.population.plain
            else f"{group}ごとに、{people}の数を表示してください。",
            f"各{group}と、その{people}の数を教えてください。"
            if self.population.plain
            else f"各{group}について、{people}の数を教えてください。",
        )

    def _group_aggregate(self) -> str:
        query, people = self.query, self._people()
        group, value = self._column(query.group), self._extreme(query.aggregates[0], query.column)
        ask = "いくつですか" if self._concept(query.column).kind == NUMBER else "いつですか"
        return self._pick(
            f"{group}ごとに、{people}の{value}は{ask}。",
            f"{group}ごとに、{people}の{value}を表示してください。",
        )

    def _having(self) -> str:
        query, table = self.query, self.population.table
        count = f"{query.number}{self._counter(table)}"
        bound = f"{count}以上" if query.op == ">=" else f"{count}より多く"
        group = self._column(query.group)
        phrase = f"{self._people()}が{bound}{self._is_there(table)}{group}"
        return self._pick(f"{phrase}はどれですか。", f"{phrase}を表示してください。")

    def _group_top(self) -> str:
        query, people = self.query, self._people()
        group, word = self._column(query.group), "多い" if query.descending else "少ない"
        return self._pick(
            f"{people}の数が最も{word}{group}はどれですか。",
            f"{people}の{group}で最も{word}のは何ですか。",
        )

    def _join_list(self) -> str:
        query, noun = self.query, self._noun(self.population.table)
        names = self._columns(query.columns)
        linked = [f"{self._noun(t)}の{self._column(c)}" for t, c in query.linked]
        glue = "、" if len(linked) > 1 else "と、"
        words = enumerate_words(linked, "、")
        if self.population.plain:
            return self._pick(
                f"各{noun}の{names}{glue}その{words}を表示してください。",
                f"{noun}ごとに、{names}{glue}{words}を教えてください。",
            )
        return self._pick(
            f"{self._people()}の{names}{glue}その{words}を表示してください。",
            f"{self._people()}について、{names}{glue}{words}を教えてください。",
        )

    def _child_count(self) -> str:
        query, table = self.query, self.population.table
        child, name = query.linked[0][0], self._column(query.columns[0])
        how_many = f"何{self._counter(child)}{self._are_there(child)}"
        return self._pick(
            f"{self._noun(table)}ごとに、{self._noun(child)}は{how_many}。{name}と数を表示してください。",
            f"各{self._noun(table)}の{name}と、{self._noun(child)}の数を表示してください。",
        )

    def _child_most(self) -> str:
        query, table = self.query, self.population.table
        child, name = self._noun(query.linked[0][0]), self._column(query.columns[0])
        return self._pick(
            f"{child}が最も多い{self._noun(table)}の{name}は何ですか。",
            f"{child}の数が一番多い{self._noun(table)}の{name}を教えてください。",
        )

    def _parent_of_top(self) -> str:
        query, table = self.query, self.population.table
        parent, column = query.linked[0]
        best = self._best(query.column, query.descending)
        return self._pick(
            f"{best}{self._noun(table)}の{self._noun(parent)}の{self._column(column)}は何ですか。",
            f"{best}{self._noun(table)}について、その{self._noun(parent)}の{self._column(column)}を教えてください。",
        )

    def _parent_group(self) -> str:
        query, table = self.query, self.population.table
        parent, column = query.linked[0]
        group, noun = f"{self._noun(parent)}の{self._column(column)}", self._noun(table)
        if not query.aggregates:
            return self._pick(
                f"{group}ごとに、{noun}は何{self._counter(table)}{self._are_there(table)}。",
                f"{group}ごとの{noun}の数を表示してください。",
            )
        value = self._extreme(query.aggregates[0], query.column)
        ask = "いくつですか" if self._concept(query.column).kind == NUMBER else "いつですか"
        return self._pick(
            f"{group}ごとに、{noun}の{value}は{ask}。",
            f"{group}ごとの{noun}の{value}を表示してください。",
        )

    def _combine(self) -> str:
        query = self.query
        group, left, right = self._column(query.group), self._people(), self._people(query.other)
        if query.op == "intersect":
            return self._pick(
                f"{left}と{right}の両方に見られる{group}は何ですか。",
                f"{left}と{right}に共通する{group}を表示してください。",
            )
        if query.op == "except":
            return self._pick(
                f"{left}にはあり、{right}にはない{group}は何ですか。",
                f"{left}の{group}から{right}の{group}を除いて表示してください。",
            )
        return self._pick(
            f"{left}または{right}に見られる{group}は何ですか。",
            f"{left}と{right}の{group}をすべて重複なしで表示してください。",
        )
