"""Drivers that were not trained: the floor and the yardstick of every table."""
