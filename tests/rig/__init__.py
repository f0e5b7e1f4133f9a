"""A world in which everything goes wrong on purpose, from a seed, and nothing may be lost or charged twice."""
