"""Disk, memory and time of a run, before and during the work."""
