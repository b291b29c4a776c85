"""The words of English."""

from __future__ import annotations

from apps.text2sql.pocket.languages.words.table import table_of_words

# Columns: singular | plural, and for a number of things the things themselves.
COLUMNS = table_of_words("""
name | name | names
title | title | titles
city | city | cities
country | country | countries
type | type | types
color | color | colors
genre | genre | genres
level | level | levels
date | date | dates
year | year | years
age | age | ages
price | price | prices
salary | salary | salaries
rating | rating | ratings
score | score | scores
budget | budget | budgets
balance | balance | balances
speed | speed | speeds
floor | floor | floors
weight | weight | weights
area | area | areas
capacity | capacity | capacities
quantity | quantity | quantities
length | length | lengths
distance | distance | distances
goals | number of goals | numbers of goals | goals
points | number of points | numbers of points | points
seats | number of seats | numbers of seats | seats
pages | number of pages | numbers of pages | pages
hours | number of hours | numbers of hours | hours
days | number of days | numbers of days | days
nights | number of nights | numbers of nights | nights
stars | number of stars | numbers of stars | stars
visitors | number of visitors | numbers of visitors | visitors
calories | number of calories | numbers of calories | calories
""")
