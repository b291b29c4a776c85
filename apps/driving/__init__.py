"""Autonomous driving with language goals as reward: one environment on a laptop and on CARLA."""
