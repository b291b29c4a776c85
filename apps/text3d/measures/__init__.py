"""Measures of finished scenes: what stands where, what second models say of the pictures, and what judges prefer."""
