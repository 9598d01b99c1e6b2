"""What several commands share."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import typer

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "errors_in_one_line",
    "parse_options",
    "print_interrupted",
    "silence_libraries",
    "split_words",
    "watched_downloads",
]

INTERRUPTED = 130  # what a shell reports after Ctrl-C


@contextmanager
def errors_in_one_line(extra: str | None = None) -> Iterator[None]:
    """Say in one line what users can mend, with exit code 1; also a decorator of commands.

    Args:
        extra: Of this package, which brings what may not be installed.
    """
    try:
        yield
    except (typer.Exit, typer.Abort):  # which are RuntimeErrors
        raise
    except (ImportError, ValueError, OSError, RuntimeError) as error:
        typer.echo(f"david: {_reason(error, extra)}", err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        print_interrupted()


def print_interrupted() -> NoReturn:
    """End a command that was interrupted."""
    typer.echo("david: interrupted; run the same command again", err=True)
    raise typer.Exit(INTERRUPTED) from None


def _reason(error: Exception, extra: str | None) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name:
        package = f"'david-hf[{extra}]'" if extra else error.name
        return f"{error.name} is not installed: pip install {package}"
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"  # str() would begin with "[Errno 13]"
    return " ".join(str(error).split()) or type(error).__name__


def parse_options(given: list[str] | None) -> dict[str, Any]:
    """Read each "KEY=VALUE"; values are YAML, so that numbers are numbers.

    Raises:
        ValueError: If one is something else.
    """
    import yaml

    options = {}
    for item in given or []:
        key, sign, value = item.partition("=")
        if not sign or not key.isidentifier():
            raise ValueError(f"expected --option KEY=VALUE, got {item!r}")
        try:
            options[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ValueError(f"--option {item}: {' '.join(str(error).split())}") from error
    return options


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


@contextmanager
def watched_downloads(keep_finished: bool = True) -> Iterator[Callable[[str, int, int], None]]:
    """Show progress where someone watches, and what the library warns of always.

    Args:
        keep_finished: Keep the bars of what is finished in sight.

    Yields:
        A function to call, from any thread, with the name of a file, the bytes that are done and
        the bytes it has. It makes a bar for each file.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TaskID,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    bars: dict[str, TaskID] = {}

    def show(name: str, done: int, total: int) -> None:
        if name not in bars:
            bars[name] = progress.add_task(name, total=total, completed=done)
        visible = keep_finished or done < total
        progress.update(bars[name], completed=done, total=total, visible=visible)

    handler = _ConsoleHandler(console)
    logger = logging.getLogger("david_hf")
    logger.addHandler(handler)
    try:
        with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
            yield show
    finally:
        logger.removeHandler(handler)


class _ConsoleHandler(logging.Handler):
    """Prints warnings above the bars."""

    def __init__(self, console: "Console") -> None:
        super().__init__(level=logging.WARNING)
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        """Print one line."""
        line = f"david: {record.getMessage()}"
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)
