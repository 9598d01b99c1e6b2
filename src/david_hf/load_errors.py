"""The error of models that cannot be loaded."""


class ModelLoadError(ValueError):
    """A model that cannot be loaded, or lacks a head; the message is one line."""


def first_line(error: Exception) -> str:
    """Give what a library said about an error, without the rest of its story."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
