"""The parts that the medical rewards are composed of."""
