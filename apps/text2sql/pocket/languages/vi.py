"""Vietnamese."""

from __future__ import annotations

from apps.text2sql.pocket.concepts import NUMBER, TEXT, YEAR
from apps.text2sql.pocket.languages.base import Realiser, enumerate_words
from apps.text2sql.pocket.languages.words.vi import COLUMNS, THINGS
from apps.text2sql.pocket.meaning import Condition, Population, Value

_SUPERLATIVES = {
    "high": ("cao nhất", "thấp nhất"),
    "big": ("lớn nhất", "nhỏ nhất"),
    "long": ("dài nhất", "ngắn nhất"),
    "many": ("nhiều nhất", "ít nhất"),
    "late": ("muộn nhất", "sớm nhất"),
}
_AGGREGATES = {"avg": "trung bình", "max": "tối đa", "min": "tối thiểu"}


class Vietnamese(Realiser):
    """Says a question in Vietnamese."""

    code = "vi"

    # --- words ---

    def _noun(self, table: str) -> str:
        return THINGS[table][0]

    def _column(self, column: str) -> str:
        return COLUMNS[column][0]

    def _columns(self, columns: tuple[str, ...]) -> str:
        return enumerate_words([self._column(c) for c in columns], " và ")

    def _value(self, column: str, value: Value) -> str:
        return f"“{value}”" if column == "title" else str(value)

    def _best(self, column: str, descending: bool) -> str:
        scale = self._concept(column).scale
        return f"{self._column(column)} {_SUPERLATIVES[scale][0 if descending else 1]}"

    def _comparative(self, column: str, more: bool) -> str:
        return _SUPERLATIVES[self._concept(column).scale][0 if more else 1].replace("nhất", "hơn")

    def _extreme(self, aggregate: str, column: str) -> str:
        concept = self._concept(column)
        if aggregate in ("max", "min") and (concept.kind != NUMBER or self.words_of_degree):
            return self._best(column, aggregate == "max")
        if aggregate == "sum":
            return f"tổng {self._column(column)}"
        return f"{self._column(column)} {_AGGREGATES[aggregate]}"

    # --- conditions ---

    def _clause(self, condition: Condition, table: str) -> str:
        """có tuổi lớn hơn 30."""
        op, kind = condition.op, self._concept(condition.column).kind
        column = f"có {self._column(condition.column)}"
        values = [self._value(condition.column, v) for v in condition.values]
        if op == "=":
            values = [" hoặc ".join(values)]
        if op == "like":
            return f"{column} bắt đầu bằng {condition.values[0]}"
        if op == "null":
            return f"{self._pick('không rõ', 'chưa biết')} {self._column(condition.column)}"
        if op == "known":
            return f"đã biết {self._column(condition.column)}"
        if op in ("above_average", "below_average"):
            return f"{column} {'cao' if op == 'above_average' else 'thấp'} hơn mức trung bình"
        if op in ("maximum", "minimum"):
            return f"có {self._best(condition.column, op == 'maximum')}"
        if op in ("more_than", "less_than"):
            label = self._value(self._label(table), condition.values[0])
            return f"{column} {self._comparative(condition.column, op == 'more_than')} {self._noun(table)} {label}"
        if op == "between":
            return f"{column} {'từ' if kind != NUMBER else 'trong khoảng từ'} {values[0]} đến {values[1]}"
        if kind == TEXT:
            return f"{column} {'không phải là' if op == '!=' else 'là'} {values[0]}"
        if kind == NUMBER:
            more, less = (self._comparative(condition.column, more) for more in (True, False))
            forms = {
                ">": self._pick(f"{more} {{}}", "trên {}"),
                "<": self._pick(f"{less} {{}}", "dưới {}"),
                "=": "bằng {}",
            }
            forms |= {">=": "từ {} trở lên", "<=": "từ {} trở xuống"}
        else:
            forms = {">": "sau {}", "<": "trước {}", "=": "là {}", ">=": "từ {} trở đi", "<=": "từ {} trở về trước"}
        return f"{column} {forms[op].format(values[0])}"

    def _adjunct(self, condition: Condition, table: str) -> str:
        column, op, values = condition.column, condition.op, condition.values
        if op in (">", "<", ">=", "<=", "between") and len(COLUMNS[column]) > 1:
            forms = {
                ">": "hơn {}",
                "<": "dưới {}",
                ">=": "ít nhất {}",
                "<=": "nhiều nhất {}",
                "between": "từ {} đến {}",
            }
            return f"có {forms[op].format(*values)} {COLUMNS[column][1]}"
        if column == "age" and op in (">", "<"):
            return f"{'trên' if op == '>' else 'dưới'} {values[0]} tuổi"
        if op == "=" and self._concept(column).kind == YEAR:
            return f"năm {values[0]}"
        if op == "=" and column in ("city", "country"):
            kind = self._thing(table).kind
            inside = kind == "place" or (kind == "group" and column == "city")
            return f"{'ở' if inside else 'đến từ'} {values[0]}"
        return ""

    def _restriction(self, population: Population, table: str) -> str:
        where = self._conditions(population)
        if not where:
            return ""
        if len(where) == 1 and len(where[0].values) < 2:
            short = self._adjunct(where[0], table)
            if short and self._pick("short", "long") == "short":
                return " " + short
        glue = " hoặc " if population.either else " và "
        return " " + glue.join(self._clause(c, table) for c in where)

    def _people(self, population: Population | None = None) -> str:
        """The population as a noun phrase."""
        population = population or self.population
        noun = self._noun(population.table)
        if population.path:
            middle = "".join(f" của {self._noun(parent)}" for parent in population.path)
            return noun + middle + self._restriction(population, population.path[-1])
        if population.child:
            child = self._noun(population.child)
            if population.at_least:
                return f"{noun} có ít nhất {population.at_least} {child}"
            restriction = self._restriction(population, population.child)
            if population.negated:
                return f"{noun} không có {child} nào{restriction}"
            return f"{noun} có {child}{restriction}"
        return noun + self._restriction(population, population.table)

    # --- sentences ---

    def _what(self) -> str:
        """The interrogative for the values of the columns asked for."""
        numbers = all(self._concept(column).kind == NUMBER for column in self.query.columns)
        return "là bao nhiêu" if numbers else "là gì"

    def _list(self) -> str:
        names, people = self._columns(self.query.columns), self._people()
        return self._pick(
            f"Cho biết {names} của các {people}.",
            f"Liệt kê {names} của tất cả các {people}.",
            f"{names.capitalize()} của các {people} {self._what()}?",
        )

    def _distinct(self) -> str:
        names, people = self._columns(self.query.columns), self._people()
        return self._pick(
            f"Các {people} có những {names} khác nhau nào?",
            f"Liệt kê các {names} khác nhau của các {people}.",
            f"Cho biết {names} của các {people}, không lặp lại.",
        )

    def _count(self) -> str:
        people = self._people()
        return self._pick(
            f"Có bao nhiêu {people}?",
            f"Đếm số {people}.",
            f"Số lượng {people} là bao nhiêu?",
        )

    def _count_distinct(self) -> str:
        column, people = self._column(self.query.column), self._people()
        return self._pick(
            f"Các {people} có bao nhiêu {column} khác nhau?",
            f"Đếm số {column} khác nhau của các {people}.",
        )

    def _count_known(self) -> str:
        column, people = self._column(self.query.column), self._people()
        return self._pick(
            f"Trong số các {people}, có bao nhiêu {self._noun(self.population.table)} đã biết {column}?",
            f"Đếm số {people} đã biết {column}."
            if self.population.plain
            else f"Có bao nhiêu {people} và đã biết {column}?",
        )

    def _aggregate(self) -> str:
        column, people = self.query.column, self._people()
        words = [self._extreme(a, column) for a in self.query.aggregates]
        both = enumerate_words(words, " và ")
        ask = "là bao nhiêu" if self._concept(column).kind == NUMBER else "là khi nào"
        return self._pick(
            f"{both.capitalize()} của các {people} {ask}?",
            f"Cho biết {both} của các {people}.",
            f"Tìm {both} của tất cả các {people}.",
        )

    def _top(self) -> str:
        query, noun = self.query, self._noun(self.population.table)
        names, best = self._columns(query.columns), self._best(query.column, query.descending)
        among = "" if self.population.plain else f" trong số các {self._people()}"
        if query.limit > 1:
            return self._pick(
                f"Cho biết {names} của {query.limit} {noun} có {best}{among}.",
                f"{names.capitalize()} của {query.limit} {noun} có {best}{among} {self._what()}?",
            )
        return self._pick(
            f"Cho biết {names} của {noun} có {best}{among}.",
            f"{noun.capitalize()} nào có {best}{among}? Cho biết {names}.",
        )

    def _sort(self) -> str:
        query, kind = self.query, self._concept(self.query.column).kind
        names, column, people = self._columns(query.columns), self._column(query.column), self._people()
        if kind == TEXT:
            order = f"theo thứ tự bảng chữ cái {'ngược ' if query.descending else ''}của {column}"
        elif kind == NUMBER:
            order = f"theo {column} {'giảm dần' if query.descending else 'tăng dần'}"
        else:
            order = f"theo {column} {'từ muộn nhất đến sớm nhất' if query.descending else 'từ sớm nhất đến muộn nhất'}"
        return self._pick(
            f"Liệt kê {names} của các {people}, sắp xếp {order}.",
            f"Sắp xếp các {people} {order} và cho biết {names}.",
        )

    def _group_count(self) -> str:
        group, people = self._column(self.query.group), self._people()
        return self._pick(
            f"Mỗi {group} có bao nhiêu {people}?",
            f"Cho biết mỗi {group} và số {people}.",
            f"Với mỗi {group}, đếm số {people}.",
        )

    def _group_aggregate(self) -> str:
        query = self.query
        group, people = self._column(query.group), self._people()
        value = self._extreme(query.aggregates[0], query.column)
        ask = "là bao nhiêu" if self._concept(query.column).kind == NUMBER else "là khi nào"
        return self._pick(
            f"Với mỗi {group}, {value} của các {people} {ask}?",
            f"Cho biết {value} của các {people} theo từng {group}.",
        )

    def _having(self) -> str:
        query = self.query
        phrase = f"{'ít nhất' if query.op == '>=' else 'hơn'} {query.number} {self._people()}"
        group = self._column(query.group)
        return self._pick(f"Những {group} nào có {phrase}?", f"Liệt kê các {group} có {phrase}.")

    def _group_top(self) -> str:
        query = self.query
        group, people = self._column(query.group), self._people()
        return self._pick(
            f"{group.capitalize()} nào có {'nhiều' if query.descending else 'ít'} {people} nhất?",
            f"{group.capitalize()} nào {'phổ biến' if query.descending else 'hiếm gặp'} nhất trong số các {people}?",
        )

    def _join_list(self) -> str:
        query, noun = self.query, self._noun(self.population.table)
        names = self._columns(query.columns)
        linked = enumerate_words([f"{self._column(c)} của {self._noun(t)}" for t, c in query.linked], " và ")
        glue = ", " if len(query.linked) > 1 else " và "
        if self.population.plain:
            return self._pick(
                f"Với mỗi {noun}, cho biết {names}{glue}{linked}.",
                f"Liệt kê {names} của từng {noun}{glue}{linked}.",
            )
        return self._pick(
            f"Với các {self._people()}, cho biết {names}{glue}{linked}.",
            f"Liệt kê {names} của các {self._people()}, cùng với {linked}.",
        )

    def _child_count(self) -> str:
        query, noun = self.query, self._noun(self.population.table)
        child, name = self._noun(query.linked[0][0]), self._column(query.columns[0])
        return self._pick(
            f"Mỗi {noun} có bao nhiêu {child}? Cho biết {name} và số lượng.",
            f"Với mỗi {noun}, cho biết {name} và số {child}.",
        )

    def _child_most(self) -> str:
        query, noun = self.query, self._noun(self.population.table)
        child, name = self._noun(query.linked[0][0]), self._column(query.columns[0])
        return self._pick(
            f"Cho biết {name} của {noun} có nhiều {child} nhất.",
            f"{noun.capitalize()} nào có nhiều {child} nhất? Cho biết {name}.",
        )

    def _parent_of_top(self) -> str:
        query, noun = self.query, self._noun(self.population.table)
        parent, column = query.linked[0]
        best = self._best(query.column, query.descending)
        target = f"{self._column(column)} của {self._noun(parent)}"
        return self._pick(
            f"Cho biết {target} của {noun} có {best}.",
            f"{noun.capitalize()} có {best} thuộc {self._noun(parent)} nào? Cho biết {target}.",
        )

    def _parent_group(self) -> str:
        query, noun = self.query, self._noun(self.population.table)
        parent, column = query.linked[0]
        group = f"{self._column(column)} của {self._noun(parent)}"
        if not query.aggregates:
            return self._pick(f"Với mỗi {group}, có bao nhiêu {noun}?", f"Đếm số {noun} theo từng {group}.")
        value = self._extreme(query.aggregates[0], query.column)
        ask = "là bao nhiêu" if self._concept(query.column).kind == NUMBER else "là khi nào"
        return self._pick(
            f"Với mỗi {group}, {value} của các {noun} {ask}?",
            f"Cho biết {value} của các {noun} theo từng {group}.",
        )

    def _combine(self) -> str:
        query = self.query
        group, left, right = self._column(query.group), self._people(), self._people(query.other)
        if query.op == "intersect":
            return self._pick(
                f"Những {group} nào có cả ở các {left} lẫn ở các {right}?",
                f"Liệt kê các {group} chung của các {left} và các {right}.",
            )
        if query.op == "except":
            return self._pick(
                f"Những {group} nào có ở các {left} nhưng không có ở các {right}?",
                f"Liệt kê {group} của các {left}, trừ {group} của các {right}.",
            )
        return self._pick(
            f"Những {group} nào có ở các {left} hoặc ở các {right}?",
            f"Liệt kê tất cả {group} của các {left} và của các {right}, không lặp lại.",
        )
