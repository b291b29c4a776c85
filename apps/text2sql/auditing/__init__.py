"""What `audit` does to a query, measures of it, and shows."""
