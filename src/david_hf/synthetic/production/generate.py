"""Generate a data set: resume it, share it out to workers, and sum it up.

Sample `i` depends on the seed and on `i` alone, so an interrupted run continues where it stopped
and machines can share the work by index.
"""

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from david_hf.data.backgrounds import find_photos, read_photo
from david_hf.data.contact_sheet import write_contact_sheet
from david_hf.data.sources.synthhuman import SynthHuman
from david_hf.synthetic.factors import load_distributions
from david_hf.synthetic.rendering.blender import BlenderProcess, find_blender
from david_hf.synthetic.rendering.develop import read_panorama

from .config import GenerateConfig, GenerateError, Recipe, num_cores
from .folder import claim, complete_indices, missing_indices, remove_partial, settings_of, versions
from .index import INDEX_NAME, count_rows, write_index
from .on_ray import make_on_ray
from .processes import make_locally
from .worker import Outcome

SHEET_NAME = "contact_sheet.jpg"
MAX_FIRST_FAILURES = 3  # without a single success: every sample would fail


@dataclass
class Report:
    """How a run went.

    Attributes:
        missing: Samples that were missing when it began.
        made: Samples made.
        failed: Reasons by index of those that could not be made.
        rejected: How often scenes were rejected, by reason.
        seconds: Duration of the making.
        interrupted: Whether Ctrl-C ended it.
        is_first: Whether the folder held none of its samples before.
    """

    missing: int = 0
    made: int = 0
    failed: dict[int, str] = field(default_factory=dict)
    rejected: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    interrupted: bool = False
    is_first: bool = True

    @property
    def per_hour(self) -> float:
        """Samples made per hour."""
        return self.made / max(self.seconds, 1e-9) * 3600

    def add(self, outcome: Outcome) -> None:
        """Count one outcome.

        Raises:
            GenerateError: If the first samples all failed.
        """
        # The first word is the kind of reason, the rest what was found.
        self.rejected.update(reason.split()[0] for reason in outcome.rejected)
        if outcome.error is None:
            self.made += 1
            return
        self.failed[outcome.index] = outcome.error
        if self.is_first and not self.made and len(self.failed) >= MAX_FIRST_FAILURES:
            raise GenerateError(f"the first {len(self.failed)} samples failed: {outcome.error}")


def prepare(config: GenerateConfig) -> Recipe:
    """Resolve a configuration, and refuse before the work what cannot work.

    Raises:
        ValueError: If an input is missing or wrong.
        RenderError: If there is no Blender.
    """
    config.check()
    tree = load_distributions(config.factors)
    with BlenderProcess(find_blender(config.blender)) as blender:
        panoramas = config.panoramas(blender.panoramas)
        found = versions(blender.version)
    # Whole, once: a damaged one would end every sample that draws it, or light it in magenta.
    for path in panoramas.values():
        read_panorama(path)
    for path in find_photos(config.backgrounds_dir) if config.backgrounds_dir else []:
        read_photo(path)
    threads = 1
    if config.workers is not None and config.ray_address is None:
        threads = max(1, num_cores() // config.workers)
    return Recipe(config, tree, tuple(panoramas), found, threads)


def generate(
    config: GenerateConfig,
    on_progress: Callable[[Report, Outcome | None], None] = lambda report, outcome: None,
) -> Report:
    """Make all missing samples, then write `index.parquet` and `contact_sheet.jpg`.

    Args:
        config: What to make.
        on_progress: Called at the start, with None, and with each outcome.

    Returns:
        How it went; Ctrl-C ends a run early, not with an exception.

    Raises:
        ValueError: If an input is missing or wrong.
        RenderError: If there is no Blender.
        GenerateError: If the folder was made with other settings, or a worker cannot go on.
        OSError: If the folder cannot be written.
    """
    recipe = prepare(config)
    indices = range(config.start, config.start + config.count)
    return make_missing(recipe, indices, settings_of(recipe), on_progress)


def make_missing(
    recipe: Recipe,
    indices: Sequence[int],
    settings: dict[str, Any],
    on_progress: Callable[[Report, Outcome | None], None],
) -> Report:
    """Make those of some samples that are missing in a folder; then sum it up.

    Args:
        recipe: How.
        indices: Samples that are wanted.
        settings: What decides what they are: the folder must have been made with the same.
        on_progress: See `generate`.

    Returns:
        How it went; Ctrl-C ends a run early, not with an exception.

    Raises:
        GenerateError: If the folder was made with other settings, or a worker cannot go on.
        OSError: If the folder cannot be written.
    """
    config = recipe.config
    claim(config.output, settings)
    remove_partial(config)
    missing = missing_indices(config, indices)
    report = Report(missing=len(missing), is_first=len(missing) == len(indices))
    on_progress(report, None)
    if not missing:
        if not is_summed_up(config):
            sum_up(config)  # a run was killed after its last sample
        return report
    begun = time.monotonic()

    def note(outcome: Outcome) -> None:
        report.seconds = time.monotonic() - begun
        report.add(outcome)
        on_progress(report, outcome)

    make = make_locally if config.ray_address is None else make_on_ray
    try:
        make(recipe, missing, note)
    except KeyboardInterrupt:
        report.interrupted = True
    except BaseException:
        with contextlib.suppress(Exception):  # what ended the run matters more
            sum_up(config)
        raise
    report.seconds = time.monotonic() - begun
    sum_up(config)
    return report


def is_summed_up(config: GenerateConfig) -> bool:
    """Whether index and contact sheet are there, and the index has all that is complete."""
    if not all((config.output / name).is_file() for name in (INDEX_NAME, SHEET_NAME)):
        return False
    return _is_indexed(config)


def _is_indexed(config: GenerateConfig) -> bool:
    return count_rows(config.output) == len(complete_indices(config.output, config.foreground))


def sum_up(config: GenerateConfig) -> None:
    """Write the index and the contact sheet of what is complete."""
    remove_partial(config)
    if complete_indices(config.output, config.foreground):
        write_index(config.output)
        if not _is_indexed(config):
            write_index(config.output)  # another run made more, and its index may have come first
        write_contact_sheet(SynthHuman(config.output), config.output / SHEET_NAME)
