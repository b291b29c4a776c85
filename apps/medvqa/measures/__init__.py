"""What `evaluate` computes: text metrics, closed questions, tables and reports."""
