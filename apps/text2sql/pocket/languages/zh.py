"""Chinese."""

from __future__ import annotations

from apps.text2sql.pocket.concepts import NUMBER, TEXT, YEAR
from apps.text2sql.pocket.languages.base import Realiser, enumerate_words
from apps.text2sql.pocket.languages.words.zh import COLUMNS, THINGS
from apps.text2sql.pocket.meaning import Condition, Population, Value

_SUPERLATIVES = {
    "high": ("最高", "最低"),
    "big": ("最大", "最小"),
    "long": ("最长", "最短"),
    "many": ("最多", "最少"),
    "late": ("最晚", "最早"),
}
# A number of things is "many", but for those of these concepts another word is used.
_SCALES = {"stars": "high", "points": "high", "calories": "high", "age": "big", "quantity": "big", "capacity": "many"}


class Chinese(Realiser):
    """Says a question in Chinese."""

    code = "zh"

    # --- words ---

    def _noun(self, table: str) -> str:
        return THINGS[table][0]

    def _measure(self, table: str) -> str:
        return THINGS[table][1]

    def _column(self, column: str, table: str) -> str:
        if column == "name" and self._thing(table).kind in ("person", "animal"):
            return "名字"
        if column == "title" and table in ("film", "book", "painting", "song"):
            return {"film": "片名", "book": "书名", "painting": "画名", "song": "歌名"}[table]
        return COLUMNS[column][0]

    def _columns(self, columns: tuple[str, ...], table: str) -> str:
        return enumerate_words([self._column(c, table) for c in columns], "和", "、")

    def _what(self, columns: tuple[str, ...]) -> str:
        """The interrogative for the values of these columns."""
        if len(columns) > 1:
            return "分别是什么"
        return "是多少" if self._concept(columns[0]).kind == NUMBER else "是什么"

    def _value(self, column: str, value: Value) -> str:
        return f"《{value}》" if column == "title" else str(value)

    def _extremal(self, column: str, descending: bool) -> str:
        """最高, 最小 ..."""
        scale = _SCALES.get(column, self._concept(column).scale)
        return _SUPERLATIVES[scale][0 if descending else 1]

    def _best(self, column: str, descending: bool, table: str) -> str:
        """年龄最大."""
        return self._column(column, table) + self._extremal(column, descending)

    def _extreme(self, aggregate: str, column: str, table: str) -> str:
        name = self._column(column, table)
        if aggregate in ("max", "min"):
            if self._concept(column).kind == NUMBER and not self.words_of_degree:
                return f"{name}的最{'大' if aggregate == 'max' else '小'}值"
            return self._extremal(column, aggregate == "max") + name
        if aggregate == "sum":
            return self._pick(f"总{name}", f"{name}总和")
        return f"平均{name}"

    # --- conditions ---

    def _clause(self, condition: Condition, table: str) -> str:
        """年龄大于30."""
        column, op, kind = self._column(condition.column, table), condition.op, self._concept(condition.column).kind
        values = [self._value(condition.column, v) for v in condition.values]
        if op == "=":
            values = ["或".join(values)]
        if op == "like":
            return f"{column}以{condition.values[0]}开头"
        if op == "null":
            return f"{column}{self._pick('未知', '不详')}"
        if op == "known":
            return f"{column}已知"
        if op in ("above_average", "below_average"):
            return f"{column}{'高于' if op == 'above_average' else '低于'}{self._pick('平均值', f'平均{column}')}"
        if op in ("maximum", "minimum"):
            value = self._extremal(condition.column, op == "maximum") + column
            return f"{column}等于{value}"
        if op in ("more_than", "less_than"):
            words = ("大于", "小于") if kind == NUMBER else ("晚于", "早于")
            label = self._value(self._label(table), condition.values[0])
            return f"{column}{words[op == 'less_than']}{self._noun(table)}{label}"
        if op == "between":
            return f"{column}在{values[0]}到{values[1]}之间"
        if kind == TEXT:
            return f"{column}{'不是' if op == '!=' else '是'}{values[0]}"
        if kind == NUMBER:
            forms = {
                ">": self._pick("大于", "超过"),
                "<": self._pick("小于", "低于"),
                ">=": "至少为",
                "<=": "最多为",
                "=": "等于",
            }
            return f"{column}{forms[op]}{values[0]}"
        year = "年" if kind == YEAR else ""
        forms = {">": "在{}{}之后", "<": "在{}{}之前", "=": "为{}{}", ">=": "为{}{}或更晚", "<=": "为{}{}或更早"}
        return column + forms[op].format(values[0], year)

    def _restriction(self, population: Population, table: str) -> str:
        """Conditions before a noun, with the particle."""
        where = self._conditions(population)
        if not where:
            return ""
        if len(where) == 1 and len(where[0].values) < 2 and self._pick("short", "long") == "short":
            column, op = where[0].column, where[0].op
            if column in ("city", "country") and op == "=":
                kind = self._thing(table).kind
                inside = kind == "place" or (kind == "group" and column == "city")
                return f"{'位于' if inside else '来自'}{where[0].values[0]}的"
            if column == "year" and op in ("=", ">", "<"):
                return f"{where[0].values[0]}年{ {'=': '', '>': '之后', '<': '之前'}[op] }的"
        glue = "或" if population.either else "且"
        return glue.join(self._clause(c, table) for c in where) + "的"

    def _people(self, population: Population | None = None, counted: str = "") -> str:
        """The population as a noun phrase; `counted`: a number and measure word that come before it all."""
        population = population or self.population
        noun, table = self._noun(population.table), population.table
        if population.path:
            chain = "的".join(self._noun(parent) for parent in reversed(population.path))
            return f"{counted}{self._restriction(population, population.path[-1])}{chain}的{noun}"
        if population.child:
            child = self._noun(population.child)
            if population.at_least:
                return f"{counted}至少有{population.at_least}{self._measure(population.child)}{child}的{noun}"
            restriction = self._restriction(population, population.child)
            word = "有" if not population.negated else "没有" if restriction else "没有任何"
            return f"{counted}{word}{restriction}{child}的{noun}"
        return counted + self._restriction(population, table) + noun

    # --- sentences ---

    def _list(self) -> str:
        table = self.population.table
        names, people = self._columns(self.query.columns, table), self._people()
        ask = self._what(self.query.columns)
        return self._pick(
            f"列出所有{people}的{names}。",
            f"{people}的{names}{ask}？",
            f"请给出{people}的{names}。",
        )

    def _distinct(self) -> str:
        names, people = self._columns(self.query.columns, self.population.table), self._people()
        return self._pick(
            f"{people}有哪些不同的{names}？",
            f"列出{people}的不同{names}。",
            f"列出{people}的{names}，不要重复。",
        )

    def _count(self) -> str:
        measure = self._measure(self.population.table)
        return self._pick(
            f"有多少{self._people(counted=measure)}？",
            f"{self._people()}一共有多少{measure}？",
            f"统计{self._people()}的数量。",
        )

    def _count_distinct(self) -> str:
        column, people = self._column(self.query.column, self.population.table), self._people()
        return self._pick(
            f"{people}有多少个不同的{column}？",
            f"统计{people}的不同{column}的数量。",
        )

    def _count_known(self) -> str:
        table = self.population.table
        column, measure = self._column(self.query.column, table), self._measure(table)
        return self._pick(
            f"有多少{self._people(counted=measure)}的{column}是已知的？",
            f"{self._people()}中，{column}已知的有多少{measure}？",
        )

    def _aggregate(self) -> str:
        column, table, people = self.query.column, self.population.table, self._people()
        parts = [self._extreme(a, column, table) for a in self.query.aggregates]
        shared = f"{self._column(column, table)}的"  # 楼层的最小值和最大值
        if all(part.startswith(shared) for part in parts):
            parts[1:] = [part[len(shared) :] for part in parts[1:]]
        words = enumerate_words(parts, "和")
        ask = "是多少" if self._concept(column).kind == NUMBER else "是什么时候" if column == "date" else "是哪一年"
        if len(self.query.aggregates) > 1:
            ask = "分别" + ask
        return self._pick(f"{people}的{words}{ask}？", f"求{people}的{words}。", f"请给出所有{people}的{words}。")

    def _top(self) -> str:
        query, table = self.query, self.population.table
        names, noun, measure = self._columns(query.columns, table), self._noun(table), self._measure(table)
        best = self._best(query.column, query.descending, table)
        among = "" if self.population.plain else f"在{self._people()}中，"
        ask = self._what(query.columns)
        if query.limit > 1:
            return self._pick(
                f"{among}列出{best}的{query.limit}{measure}{noun}的{names}。",
                f"{among}{best}的{query.limit}{measure}{noun}的{names}分别是什么？",
            )
        return self._pick(
            f"{among}{best}的{noun}的{names}{ask}？",
            f"{among}哪{measure}{noun}的{best}？请给出{names}。",
        )

    def _sort(self) -> str:
        query, table = self.query, self.population.table
        names, column, people = self._columns(query.columns, table), self._column(query.column, table), self._people()
        kind = self._concept(query.column).kind
        if kind == TEXT:
            order = f"{column}的字母{'倒序' if query.descending else '顺序'}"
        elif kind == NUMBER:
            order = f"{column}{self._pick('从高到低', '降序') if query.descending else self._pick('从低到高', '升序')}"
        else:
            order = f"{column}{'从晚到早' if query.descending else '从早到晚'}"
        return self._pick(f"按{order}列出{people}的{names}。", f"列出{people}的{names}，按{order}排列。")

    def _group_count(self) -> str:
        table = self.population.table
        group, measure = self._column(self.query.group, table), self._measure(table)
        return self._pick(
            f"每个{group}有多少{self._people(counted=measure)}？",
            f"统计每个{group}的{self._people()}数量。"
            if self.population.plain
            else f"按{group}统计{self._people()}的数量。",
            f"列出每个{group}及其{self._people()}的数量。",
        )

    def _group_aggregate(self) -> str:
        query, table, people = self.query, self.population.table, self._people()
        group, value = self._column(query.group, table), self._extreme(query.aggregates[0], query.column, table)
        ask = (
            "是多少"
            if self._concept(query.column).kind == NUMBER
            else "是什么时候"
            if query.column == "date"
            else "是哪一年"
        )
        return self._pick(f"对每个{group}，{people}的{value}{ask}？", f"按{group}统计{people}的{value}。")

    def _having(self) -> str:
        query, table = self.query, self.population.table
        bound = f"{'至少' if query.op == '>=' else '超过'}{query.number}{self._measure(table)}"
        group = self._column(query.group, table)
        return self._pick(
            f"哪些{group}有{self._people(counted=bound)}？",
            f"列出有{self._people(counted=bound)}的{group}。",
        )

    def _group_top(self) -> str:
        query, people = self.query, self._people()
        group = self._column(query.group, self.population.table)
        return self._pick(
            f"哪个{group}的{people}最{'多' if query.descending else '少'}？"
            if self.population.plain
            else f"哪个{group}有最{'多' if query.descending else '少'}的{people}？",
            f"在{people}中，最{'常见' if query.descending else '少见'}的{group}是哪个？",
        )

    def _join_list(self) -> str:
        query, table = self.query, self.population.table
        names = self._columns(query.columns, table)
        linked = [f"{self._noun(t)}的{self._column(c, t)}" for t, c in query.linked]
        glue = "、" if len(linked) > 1 else "和"
        words = enumerate_words(linked, "和")
        if self.population.plain:
            return self._pick(
                f"列出每{self._measure(table)}{self._noun(table)}的{names}{glue}对应的{words}。",
                f"对每{self._measure(table)}{self._noun(table)}，给出{names}{glue}{words}。",
            )
        return self._pick(
            f"列出{self._people()}的{names}{glue}对应的{words}。",
            f"对所有{self._people()}，给出{names}{glue}{words}。",
        )

    def _child_count(self) -> str:
        query, table = self.query, self.population.table
        child, name = query.linked[0][0], self._column(query.columns[0], table)
        each = f"每{self._measure(table)}{self._noun(table)}"
        return self._pick(
            f"{each}有多少{self._measure(child)}{self._noun(child)}？列出{name}和数量。",
            f"列出{each}的{name}和{self._noun(child)}的数量。",
        )

    def _child_most(self) -> str:
        query, table = self.query, self.population.table
        child, name = self._noun(query.linked[0][0]), self._column(query.columns[0], table)
        return self._pick(
            f"{child}最多的{self._noun(table)}的{name}是什么？",
            f"哪{self._measure(table)}{self._noun(table)}的{child}最多？请给出{name}。",
        )

    def _parent_of_top(self) -> str:
        query, table = self.query, self.population.table
        parent, column = query.linked[0]
        best = self._best(query.column, query.descending, table)
        target = f"{self._noun(parent)}的{self._column(column, parent)}"
        which = f"哪{self._measure(parent)}{self._noun(parent)}"
        return self._pick(
            f"{best}的{self._noun(table)}所属的{target}{self._what((column,))}？",
            f"{best}的{self._noun(table)}属于{which}？请给出{self._column(column, parent)}。",
        )

    def _parent_group(self) -> str:
        query, table = self.query, self.population.table
        parent, column = query.linked[0]
        group = f"{self._noun(parent)}的{self._column(column, parent)}"
        each = f"{self._noun(parent)}的每个{self._column(column, parent)}"
        if not query.aggregates:
            return self._pick(
                f"按{group}统计{self._noun(table)}的数量。",
                f"对{each}，有多少{self._measure(table)}{self._noun(table)}？",
            )
        value = self._extreme(query.aggregates[0], query.column, table)
        ask = (
            "是多少"
            if self._concept(query.column).kind == NUMBER
            else "是什么时候"
            if query.column == "date"
            else "是哪一年"
        )
        return self._pick(
            f"按{group}统计{self._noun(table)}的{value}。", f"对{each}，{self._noun(table)}的{value}{ask}？"
        )

    def _combine(self) -> str:
        query = self.query
        group, left, right = (
            self._column(query.group, self.population.table),
            self._people(),
            self._people(query.other),
        )
        if query.op == "intersect":
            return self._pick(
                f"哪些{group}既出现在{left}中，又出现在{right}中？",
                f"列出{left}和{right}共有的{group}。",
            )
        if query.op == "except":
            return self._pick(
                f"哪些{group}出现在{left}中，但没有出现在{right}中？",
                f"列出{left}的{group}，去掉{right}的{group}。",
            )
        return self._pick(
            f"哪些{group}出现在{left}或{right}中？",
            f"列出{left}和{right}的所有{group}，不要重复。",
        )
