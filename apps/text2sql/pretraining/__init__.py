"""How the pocket model and the encoder of the contrastive reward are made from nothing."""
