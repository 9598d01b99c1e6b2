"""The paper's ablations, over checkpoints of yours: which models, on what, beside which table."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from david_hf.data.sources.registry import options_of

from .benchmarks.registry import Benchmark, benchmarks, find_benchmark
from .paper import paper_tables
from .predictors.base import Predictor
from .predictors.changed import ChangedPredictor
from .results import EvaluationResult
from .runner import RunOptions, evaluate

BLUR_SIGMA_PX = 3.0  # our choice: the paper does not say


@dataclass(frozen=True)
class Ablation:
    """One question that is answered by several models on the same benchmarks.

    Attributes:
        name: What commands take.
        question: What it asks.
        table: Number of the paper's table.
        least_models: How many it takes.
        tasks: What is measured.
    """

    name: str
    question: str
    table: str
    least_models: int = 2
    tasks: tuple[str, ...] = ("depth",)


ABLATIONS = {
    ablation.name: ablation
    for ablation in (
        Ablation(
            "blur",
            "do blurred normals score worse? (appendix B.1)",
            "5",
            least_models=1,
            tasks=("normals",),
        ),
        Ablation("data-source", "which training data?", "4a"),
        Ablation("data-size", "how much training data?", "4b"),
        Ablation("model-size", "how large a model?", "4c"),
        Ablation(
            "multi-task",
            "one model for all tasks, or one for each?",
            "4d",
            tasks=("depth", "normals", "alpha"),
        ),
    )
}


def find_ablation(name: str) -> Ablation:
    """The ablation of a name.

    Raises:
        ValueError: If there is none.
    """
    if name not in ABLATIONS:
        raise ValueError(f"unknown ablation {name!r}; known are {', '.join(ABLATIONS)}")
    return ABLATIONS[name]


def choose_benchmarks(ablation: Ablation, roots: Mapping[str, Path]) -> dict[str, Path]:
    """Benchmarks of an ablation for which there is data, with the folders of their data.

    Args:
        ablation: The ablation.
        roots: Folders by name of a benchmark, or of a data set; the latter stands for those of its
            benchmarks that the paper's table has, or for all if it has none of them.

    Raises:
        ValueError: If a name is unknown, or what is there has none of the tasks.
    """
    paper = _benchmarks_of_table(ablation.table)
    chosen: dict[str, Path] = {}
    for name, root in roots.items():
        of_set = [one.name for one in benchmarks().values() if one.dataset == name]
        if name not in benchmarks() and not of_set:
            known = ", ".join(dict.fromkeys(one.dataset for one in benchmarks().values()))
            raise ValueError(
                f"expected data of a benchmark ({', '.join(benchmarks())}) or of a data set "
                f"({known}), got {name!r}"
            )
        wanted = [name] if name in benchmarks() else [n for n in of_set if n in paper] or of_set
        chosen |= dict.fromkeys(wanted, root)
    fitting = {
        name: root for name, root in chosen.items() if _tasks(ablation, find_benchmark(name))
    }
    if not fitting:
        raise ValueError(
            f"expected data with {' or '.join(ablation.tasks)}, which {ablation.name} measures, "
            f"got {', '.join(chosen) or 'none'}"
        )
    return fitting


def run_ablation(
    ablation: Ablation,
    models: Mapping[str, Callable[[], Predictor]],
    roots: Mapping[str, Path],
    output: Path,
    options: RunOptions | None = None,
    blur_sigma_px: float = BLUR_SIGMA_PX,
    on_progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> list[EvaluationResult]:
    """Evaluate every model on every benchmark of an ablation.

    Each pair has a folder of its own, as `evaluate` writes it: what is there already is not
    measured again.

    Args:
        ablation: The ablation.
        models: What opens each model, by the label it has in tables.
        roots: As of `choose_benchmarks`.
        output: Folder of the results.
        options: As of `evaluate`.
        blur_sigma_px: Standard deviation of the blur, pixels, for the ablation "blur" alone.
        on_progress: Called with label and benchmark, images that are done, and their number.

    Returns:
        Results in the order of models and benchmarks, in the main process; none in the others.

    Raises:
        ValueError: If there are too few models, or as of `choose_benchmarks` and `evaluate`.
    """
    chosen = choose_benchmarks(ablation, roots)
    if len(models) < ablation.least_models:
        raise ValueError(
            f"expected at least {ablation.least_models} models to compare, got {len(models)}"
        )
    options = options or RunOptions()
    folders = {_folder_name(label) for label in models}
    if len(folders) < len(models) or "" in folders:
        raise ValueError(
            f"expected labels that differ as names of folders, got {', '.join(models)}"
        )
    per_benchmark = _divide_options(options, chosen)
    results = []
    for label, opened in models.items():
        model = opened()
        for predictor in _variants(ablation, model, label, blur_sigma_px):
            for name, root in chosen.items():
                benchmark = find_benchmark(name)
                if not set(_tasks(ablation, benchmark)) & set(predictor.tasks):
                    continue  # models of one task each are compared with one of all
                what = f"{predictor.name}, {name}"
                result = evaluate(
                    benchmark,
                    root,
                    predictor,
                    output / _folder_name(predictor.name) / name,
                    per_benchmark[name],
                    lambda done, total, what=what: on_progress(what, done, total),  # type: ignore[misc]
                )
                results += [result] if result is not None else []
    return results


def _divide_options(options: RunOptions, names: Iterable[str]) -> dict[str, RunOptions]:
    """Give each benchmark those options that its data set takes.

    Raises:
        ValueError: If there is an option that none takes.
    """
    taken = {name: options_of(find_benchmark(name).dataset) for name in names}
    unknown = set(options.data_options) - {key for keys in taken.values() for key in keys}
    if unknown:
        raise ValueError(f"no data set of {', '.join(taken)} takes the option {min(unknown)}")
    return {
        name: replace(
            options, data_options={k: v for k, v in options.data_options.items() if k in keys}
        )
        for name, keys in taken.items()
    }


def _variants(
    ablation: Ablation, model: Predictor, label: str, blur_sigma_px: float
) -> Iterator[Predictor]:
    yield ChangedPredictor(model, label)
    if ablation.name == "blur":
        yield ChangedPredictor(model, f"{label} with blur", blur_sigma_px)


def _tasks(ablation: Ablation, benchmark: Benchmark) -> tuple[str, ...]:
    return tuple(task for task in benchmark.tasks if task in ablation.tasks)


def _benchmarks_of_table(number: str) -> Sequence[str]:
    """Benchmarks that a table's columns are made of."""
    table = next(table for table in paper_tables() if table.number == number)
    return list(dict.fromkeys(part for column in table.columns for part in column.parts))


def _folder_name(label: str) -> str:
    """A label as the name of one folder."""
    return "".join(sign if sign.isalnum() or sign in "-_.+" else "_" for sign in label).strip(".")
