"""What `audit` plays to a reward, measures of it, and shows."""
