"""Workers, and processes apart for what may crash."""
