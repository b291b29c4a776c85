"""Prompts of the small world: parsed, written, and turned into questions."""

from apps.text3d.prompts.parser import parse
from apps.text3d.prompts.prompt import Prompt, Relation, Thing
from apps.text3d.prompts.writer import write

__all__ = ["Prompt", "Relation", "Thing", "parse", "write"]
