"""What the judge of a scene's geometry measures; nothing heavy is imported here."""

MEASURES = ("object", "colour", "count", "relation")
