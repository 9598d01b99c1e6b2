"""Find the files of a data set by folder and name."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

# Whatever a name may end with that Pillow opens.
PICTURE_SUFFIXES = tuple(
    suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN
)


def find_level(root: Path, levels: Iterable[str], inside: Sequence[str] = ()) -> Path | None:
    """The first of some folders below `root` that is there, with the folders `inside` in it."""
    folders = [root / level for level in levels]
    return next(
        (
            folder
            for folder in folders
            if folder.is_dir() and all((folder / name).is_dir() for name in inside)
        ),
        None,
    )


def list_files(folder: Path, suffixes: Sequence[str] = PICTURE_SUFFIXES) -> list[Path]:
    """Files of a folder that end with one of `suffixes`, in the order of their names.

    Hidden files are passed over: archives made on macOS hold a `._NAME` beside each NAME.

    Raises:
        ValueError: If there is no such folder, or no such file in it.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder")
    files = sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in suffixes and not path.name.startswith(".")
    )
    if not files:
        kinds = "pictures" if suffixes is PICTURE_SUFFIXES else f"files ({', '.join(suffixes)})"
        raise ValueError(f"{folder}: expected {kinds}, found none")
    return files


def files_by_stem(folder: Path, suffixes: Sequence[str] = PICTURE_SUFFIXES) -> dict[str, Path]:
    """What `list_files` finds, by the name without its suffix.

    Raises:
        ValueError: As `list_files`, and if two files differ in their suffix only.
    """
    found: dict[str, Path] = {}
    for path in list_files(folder, suffixes):
        twin = found.setdefault(path.stem, path)
        if twin is not path:
            raise ValueError(f"{path}: {twin.name} has the same name; keep one of the two")
    return found


def check_all_known(paths: dict[str, Path], known: dict[str, Path], counterpart: str) -> None:
    """Refuse files that have no counterpart of the same name.

    Args:
        paths: Files by stem.
        known: Their counterparts by stem.
        counterpart: What those are, for the message.

    Raises:
        ValueError: If one has none.
    """
    alone = [path for stem, path in paths.items() if stem not in known]
    if alone:
        others = f", as {len(alone) - 1:,} others" if len(alone) > 1 else ""
        raise ValueError(
            f"{alone[0]}: has no {counterpart} of the same name{others}; get it again, or remove "
            "what has no counterpart"
        )


@contextmanager
def naming(where: object) -> Iterator[None]:
    """Let errors about the content of a file, or of a sample, begin with its name."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
