"""Policies trained by stable-baselines3: settings, training, checkpoints that resume bit for bit, replay buffers."""
