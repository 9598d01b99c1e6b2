"""The error of models that cannot be loaded, and what libraries say in theirs."""


class ModelLoadError(ValueError):
    """A model that cannot be loaded, or lacks a head; the message is one line."""


def in_one_line(error: BaseException | str) -> str:
    """Give all that a library said about an error, in one line; its class if it said nothing."""
    return " ".join(str(error).split()) or type(error).__name__


def first_line(error: Exception) -> str:
    """Give what a library said about an error, without the rest of its story."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
