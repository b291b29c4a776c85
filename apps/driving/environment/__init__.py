"""The environment above every simulator."""
