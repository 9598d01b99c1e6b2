"""Files in, map files out: what the `david predict` command calls."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .image_io import IMAGE_SUFFIXES, ImageReadError, load_image, to_rgb8
from .map_files import write_maps
from .predictor import DavidPredictor, ModelLoadError, Prediction

__all__ = [
    "IMAGE_SUFFIXES",
    "DavidPredictor",
    "ImageReadError",
    "ImageResult",
    "InputError",
    "ModelLoadError",
    "Prediction",
    "PredictionReport",
    "find_images",
    "load_image",
    "predict_folder",
]


class InputError(ValueError):
    """Folders that cannot be worked on; the message is one line."""


@dataclass(frozen=True)
class ImageResult:
    """What became of one photo.

    Attributes:
        source: The photo.
        written: The files made from it; empty if it failed.
        error: Why it failed, in one line, or None.
    """

    source: Path
    written: tuple[Path, ...] = ()
    error: str | None = None


@dataclass(frozen=True)
class PredictionReport:
    """What became of all photos, in the order of their names."""

    output: Path
    results: tuple[ImageResult, ...]

    @property
    def written(self) -> list[Path]:
        """All files made."""
        return [path for result in self.results for path in result.written]

    @property
    def failed(self) -> list[ImageResult]:
        """The photos that failed."""
        return [result for result in self.results if result.error is not None]


def find_images(source: Path) -> list[Path]:
    """List the photos to work on.

    Args:
        source: A photo, whatever its name, or a folder, whose files with one of `IMAGE_SUFFIXES`
            are taken; its sub-folders and hidden files are not.

    Raises:
        InputError: If there is nothing to work on.
    """
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise InputError(f"{source}: no such file or folder")
    images = sorted(path for path in source.iterdir() if _looks_like_image(path))
    if not images:
        raise InputError(f"{source}: no image in this folder ({', '.join(IMAGE_SUFFIXES)})")
    return images


def predict_folder(
    source: Path,
    output: Path,
    model: str | Path | None = None,
    tasks: Sequence[str] | None = None,
    *,
    device: str | None = None,
    on_result: Callable[[ImageResult], None] | None = None,
) -> PredictionReport:
    """Write the maps of a photo, or of each photo in a folder, as files.

    A photo NAME.jpg gives NAME_depth.png (16 bits, nearest = 65535, farthest = 0, of the foreground
    if alpha is predicted, too), NAME_depth.npy (float32 as predicted, larger = nearer),
    NAME_normals.png (16 bits, X, Y, Z from -1..1 in red, green, blue), NAME_alpha.png (8 bits),
    NAME_cutout.png (photo with predicted transparency), NAME_depth_color.png,
    NAME_normals_color.png and NAME_overview.png. Photos that differ only in their suffix keep it:
    NAME_jpg_depth.png. Each file appears whole or not at all, and a photo that fails does not stop
    the others.

    Args:
        source: A photo or a folder of photos.
        output: Folder to write to, made if needed; not the folder that the photos are in.
        model: Checkpoint folder or Hub id; None takes the one that comes with the package.
        tasks: Some of "depth", "normals", "alpha"; None takes all that the model predicts.
        device: Where to run; None takes an accelerator if there is one.
        on_result: Called after each photo, to show progress.

    Returns:
        What became of each photo.

    Raises:
        InputError: If there is nothing to work on or nowhere to write.
        ModelLoadError: If the model cannot be loaded or lacks one of the tasks.
    """
    images = find_images(source)
    _prepare_output(source, output)
    predictor = DavidPredictor.from_pretrained(model, device)
    wanted = predictor.check_tasks(tasks)
    results = []
    for image, name in zip(images, output_names(images), strict=True):
        results.append(_predict_file(predictor, image, output, name, wanted))
        if on_result is not None:
            on_result(results[-1])
    return PredictionReport(output, tuple(results))


def output_names(images: Iterable[Path]) -> list[str]:
    """Name the outputs of each image such that no two, however similarly named, overwrite another.

    Names are told apart without regard to case, as some file systems do.
    """
    images = list(images)
    stems = Counter(image.stem.casefold() for image in images)
    taken: set[str] = set()
    names = []
    for image in images:
        unique = stems[image.stem.casefold()] == 1
        name = image.stem if unique else f"{image.stem}_{image.suffix.lstrip('.')}"
        while name.casefold() in taken:
            name += "_"
        taken.add(name.casefold())
        names.append(name)
    return names


def _predict_file(
    predictor: DavidPredictor, source: Path, output: Path, name: str, tasks: Sequence[str]
) -> ImageResult:
    try:
        image = load_image(source)
        prediction = predictor.predict(image, tasks)
        written = write_maps(output, name, to_rgb8(image), prediction)
    except ImageReadError as error:
        return ImageResult(source, error=str(error))
    except (OSError, MemoryError, RuntimeError) as error:  # a full disk, memory or accelerator
        reason = " ".join(str(error).split()) or type(error).__name__
        return ImageResult(source, error=f"{source}: {reason}")
    return ImageResult(source, tuple(written))


def _prepare_output(source: Path, output: Path) -> None:
    if source.is_dir() and output.exists() and output.samefile(source):
        raise InputError(f"{output}: maps would mix with the photos; choose another output folder")
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{output}: cannot write there ({error.strerror})") from error


def _looks_like_image(path: Path) -> bool:
    named_so = path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
    return named_so and path.is_file()
