"""A tile: some two hundred tokens that a kernel carries through a whole branch while they stay in the L2 cache."""
