"""Arrays that carry their rounding error."""
