"""Counted, and nothing run: Tables 1 to 3 of the paper, and the memory of a training step."""
