"""What the audit shows a reward, and what it measures."""
