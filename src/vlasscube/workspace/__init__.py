"""The run directory: places, locks, records, state."""
