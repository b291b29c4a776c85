"""The simulators below the environment."""
