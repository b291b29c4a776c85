"""Losses over rendered views: score distillation, CLIP, the VLM reward, and their weighted sum."""
