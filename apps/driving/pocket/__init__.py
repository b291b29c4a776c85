"""Captioned traffic scenes with exact truth, made by the embedded simulator."""
