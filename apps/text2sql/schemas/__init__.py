"""Schemas as text, with descriptions and example values, and the search for values a question mentions."""
