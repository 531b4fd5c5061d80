"""The workflow: steps, the walk of the planes, planning, verification, status, pruning."""
