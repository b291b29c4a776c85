"""Compares a prediction's rows with the gold's and says which of the ten verdicts holds."""
