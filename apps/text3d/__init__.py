"""Text-to-3D with a vision-language model as a differentiable semantic and spatial reward."""
