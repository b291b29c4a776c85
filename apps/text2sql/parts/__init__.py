"""The parts that recipes are composed of."""
