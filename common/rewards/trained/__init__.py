"""Rewards that are fitted to preference pairs, and pairs made of any reward's scores."""
