"""How the captioner learns: text-only initialisation, naturalness, advantages, and the reinforcement step."""
