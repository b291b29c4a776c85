"""What the driver sees: measures, the way ahead, the bird's-eye view."""
