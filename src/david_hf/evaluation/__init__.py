"""Metrics: pure numpy functions, one value per image; averages are the caller's."""
