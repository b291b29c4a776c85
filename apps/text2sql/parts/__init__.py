"""The parts that recipes are composed of, and the encoder of the contrastive one."""
