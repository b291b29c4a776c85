"""What `evaluate` computes and shows: caption metrics, CLIP metrics, diversity, exact scenes, tables and reports."""
