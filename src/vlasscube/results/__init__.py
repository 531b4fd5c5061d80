"""What the steps leave: types and their reading."""
