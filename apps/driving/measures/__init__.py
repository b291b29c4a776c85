"""What `evaluate` computes and shows: figures of episodes with intervals, paired tests, tables, the report."""
