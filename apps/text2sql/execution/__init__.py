"""Reads one query, runs it read-only, and gives its rows: SQLite, DuckDB, PostgreSQL, MySQL; worker processes."""
