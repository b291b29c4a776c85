"""The words of each language: every thing and every property of `concepts`."""
