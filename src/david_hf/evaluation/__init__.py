"""How good a prediction is: `metrics` are pure functions of arrays."""
