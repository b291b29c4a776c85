"""What the pocket world talks about: kinds of things (tables) and their properties (columns).

Databases recombine these concepts, so that a held-out database is a new combination of known words. How each concept
is named in a language stands in `languages/words`.
"""

from __future__ import annotations

from dataclasses import dataclass

NUMBER, DATE, YEAR, TEXT = "number", "date", "year", "text"


@dataclass(frozen=True)
class Property:
    """A column concept.

    Attributes:
        kind: `number`, `date` (ISO text), `year` or `text`.
        scale: which pair of superlatives fits: `high`, `big`, `long`, `many` (a number of things), `late`, or empty.
        span: smallest and largest value and the step between values (numbers and years).
        summable: adding its values up makes sense.
        category: its text values repeat, so that grouping and DISTINCT make sense.
    """

    kind: str
    scale: str = ""
    span: tuple[float, float, float] = (0, 0, 1)
    summable: bool = False
    category: bool = False


PROPERTIES: dict[str, Property] = {
    "name": Property(TEXT),
    "title": Property(TEXT),
    "city": Property(TEXT, category=True),
    "country": Property(TEXT, category=True),
    "type": Property(TEXT, category=True),
    "color": Property(TEXT, category=True),
    "genre": Property(TEXT, category=True),
    "level": Property(TEXT, category=True),
    "date": Property(DATE, "late"),
    "year": Property(YEAR, "late", (1960, 2023, 1)),
    "age": Property(NUMBER, "high", (18, 68, 1)),
    "price": Property(NUMBER, "high", (5, 120, 5), summable=True),
    "salary": Property(NUMBER, "high", (2000, 6000, 100), summable=True),
    "rating": Property(NUMBER, "high", (1.5, 5.0, 0.1)),
    "score": Property(NUMBER, "high", (40, 100, 1)),
    "budget": Property(NUMBER, "high", (1000, 9000, 250), summable=True),
    "balance": Property(NUMBER, "high", (100, 5000, 50), summable=True),
    "speed": Property(NUMBER, "high", (80, 320, 10)),
    "floor": Property(NUMBER, "high", (1, 9, 1)),
    "weight": Property(NUMBER, "big", (45, 110, 1), summable=True),
    "area": Property(NUMBER, "big", (20, 400, 5), summable=True),
    "capacity": Property(NUMBER, "big", (200, 5000, 100), summable=True),
    "quantity": Property(NUMBER, "big", (1, 12, 1), summable=True),
    "length": Property(NUMBER, "long", (120, 400, 5), summable=True),
    "distance": Property(NUMBER, "long", (200, 9000, 100), summable=True),
    "goals": Property(NUMBER, "many", (0, 20, 1), summable=True),
    "points": Property(NUMBER, "many", (10, 80, 1), summable=True),
    "seats": Property(NUMBER, "many", (50, 400, 10), summable=True),
    "pages": Property(NUMBER, "many", (80, 700, 10), summable=True),
    "hours": Property(NUMBER, "many", (10, 60, 2), summable=True),
    "days": Property(NUMBER, "many", (1, 30, 1), summable=True),
    "nights": Property(NUMBER, "many", (1, 14, 1), summable=True),
    "stars": Property(NUMBER, "many", (1, 5, 1)),
    "visitors": Property(NUMBER, "many", (100, 9000, 100), summable=True),
    "calories": Property(NUMBER, "many", (100, 900, 10), summable=True),
}


@dataclass(frozen=True)
class Thing:
    """A table concept.

    Attributes:
        kind: `person`, `animal`, `place`, `group` (a company, a team) or `thing`.
        names: the pool its `name` or `title` values come from (see `databases.POOLS`).
        types: the pool of its `type` values, where it has any.
    """

    kind: str
    names: str = ""
    types: str = ""


THINGS: dict[str, Thing] = {
    "label": Thing("group", "brand"),
    "singer": Thing("person", "person"),
    "song": Thing("thing", "work"),
    "hall": Thing("place", "brand"),
    "band": Thing("group", "brand"),
    "concert": Thing("thing", "work"),
    "teacher": Thing("person", "person"),
    "course": Thing("thing", "course"),
    "student": Thing("person", "person"),
    "doctor": Thing("person", "person"),
    "patient": Thing("person", "person"),
    "visit": Thing("thing"),
    "shop": Thing("place", "brand"),
    "product": Thing("thing", "product"),
    "sale": Thing("thing"),
    "author": Thing("person", "person"),
    "book": Thing("thing", "work"),
    "loan": Thing("thing"),
    "airline": Thing("group", "brand"),
    "airport": Thing("place", "brand"),
    "flight": Thing("thing"),
    "stadium": Thing("place", "brand"),
    "team": Thing("group", "team"),
    "player": Thing("person", "person"),
    "film": Thing("thing", "work"),
    "cinema": Thing("place", "brand"),
    "screening": Thing("thing"),
    "zoo": Thing("place", "brand"),
    "keeper": Thing("person", "person"),
    "animal": Thing("animal", "animal", "animal_type"),
    "restaurant": Thing("place", "brand"),
    "chef": Thing("person", "person"),
    "dish": Thing("thing", "dish"),
    "bank": Thing("group", "brand"),
    "client": Thing("person", "person"),
    "account": Thing("thing", types="account_type"),
    "hotel": Thing("place", "brand"),
    "room": Thing("place", types="room_type"),
    "booking": Thing("thing"),
    "museum": Thing("place", "brand"),
    "artist": Thing("person", "person"),
    "painting": Thing("thing", "work"),
    "farmer": Thing("person", "person"),
    "farm": Thing("place", "brand"),
    "brand": Thing("group", "brand"),
    "car": Thing("thing", "vehicle"),
    "rental": Thing("thing"),
    "company": Thing("group", "brand"),
    "department": Thing("group", "department"),
    "employee": Thing("person", "person"),
    "station": Thing("place", "brand"),
    "train": Thing("thing", "vehicle"),
    "ticket": Thing("thing"),
}

# Where the general span of a property would be odd for a thing.
SPANS: dict[tuple[str, str], tuple[float, float, float]] = {
    ("painting", "price"): (500, 9000, 100),
    ("car", "price"): (8000, 40000, 500),
    ("car", "year"): (2005, 2023, 1),
    ("painting", "year"): (1860, 2010, 1),
    ("animal", "weight"): (2, 600, 2),
    ("animal", "age"): (1, 15, 1),
    ("student", "age"): (16, 25, 1),
    ("player", "age"): (17, 38, 1),
    ("dish", "price"): (4, 30, 1),
    ("flight", "price"): (50, 900, 10),
    ("room", "price"): (40, 300, 5),
    ("product", "price"): (2, 90, 1),
    ("team", "points"): (20, 80, 1),
    ("farm", "area"): (10, 90, 1),
    ("ticket", "price"): (5, 90, 1),
}
