"""What `audit` does to a caption, measures of it, and shows."""
