"""Weights of others into this package's networks."""
