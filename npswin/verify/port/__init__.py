"""A port beside the answer key."""
