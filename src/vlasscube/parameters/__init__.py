"""The two parameter lists: validated values with units, every problem at once."""
