"""What `evaluate` computes and shows: metrics, hardness, error classes, exact match by clauses."""
