"""How the pocket model is made from nothing: its tower learns to see, then its language model to reason and answer."""
