"""How the pocket models are made from nothing: tokenizer, CLIP, language model and discriminator."""
