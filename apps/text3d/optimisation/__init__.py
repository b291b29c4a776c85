"""The loop that shapes a scene, and what is watched while it runs."""
