"""What `audit` does to an answer, measures of it, and shows."""
