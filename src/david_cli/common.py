"""What several commands share."""

__all__ = ["silence_libraries", "split_words"]


def split_words(words: str | None) -> list[str] | None:
    """Read "depth, alpha" as a list."""
    if words is None:
        return None
    return [word.strip() for word in words.split(",") if word.strip()]


def silence_libraries() -> None:
    """Keep the news of transformers and of the Hub client out of what people read here."""
    from huggingface_hub.utils import logging as hub_logging
    from transformers.utils import logging as transformers_logging

    hub_logging.set_verbosity_error()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
