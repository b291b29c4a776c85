"""The parts that the driving rewards are composed of."""
