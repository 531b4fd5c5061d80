"""The stages of the workflow, one module each: typed inputs to a typed record."""
