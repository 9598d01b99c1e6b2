"""Time of the matting metrics: `python benchmarks/matting.py [OUTPUT]`.

One core, a made-up portrait of 12 megapixels, as those of PPM-100. The peer computes the same
formulas the plain way, with SciPy and scikit-image on whole images, and must give the same numbers.
Writes benchmarks/matting.json, or OUTPUT.
"""

import argparse
import json
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import scipy
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.measure import label

from david_hf.data.trimaps import make_trimap
from david_hf.evaluation.metrics.matting import conn, grad_p3m, grad_rhemann, matting_metrics

HEIGHT, WIDTH = 4000, 3000
REPEATS = 3

Matte = NDArray[np.float32]


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path, nargs="?")
    output = parser.parse_args().output or Path(__file__).with_suffix(".json")
    cv2.setNumThreads(1)
    prediction, target = portrait(0), portrait(1)
    trimap = make_trimap(target)
    ours: dict[str, Callable[[], Any]] = {
        "all metrics, with a trimap": lambda: matting_metrics(prediction, target, trimap),
        "grad_p3m": lambda: grad_p3m(prediction, target),
        "grad_rhemann": lambda: grad_rhemann(prediction, target),
        "conn": lambda: conn(prediction, target),
    }
    seconds = {name: fastest(call) for name, call in ours.items()}
    peers = {"grad_p3m": plain_grad, "conn": plain_conn}
    plain = {name: fastest(lambda f=f: f(prediction, target)) for name, f in peers.items()}  # type: ignore[misc]
    for name, function in peers.items():
        np.testing.assert_allclose(ours[name](), function(prediction, target), rtol=1e-6)
    report = {
        "pixels": HEIGHT * WIDTH,
        "fastest_of": REPEATS,
        "seconds": {name: round(value, 2) for name, value in seconds.items()},
        "plain_seconds": {name: round(value, 2) for name, value in plain.items()},
        "ratio_to_plain": {name: round(seconds[name] / plain[name], 3) for name in plain},
        "versions": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scipy": scipy.__version__,
            "skimage": version("scikit-image"),
            "cv2": cv2.__version__,
        },
    }
    output.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


def portrait(seed: int) -> Matte:
    """A matte (H, W) of head and shoulders with a soft edge, strands of hair and faint stains."""
    rng = np.random.default_rng(seed)
    small = np.zeros((HEIGHT // 4, WIDTH // 4), np.float32)
    centre = (WIDTH // 8 + int(rng.integers(-6, 7)), HEIGHT // 10)
    cv2.ellipse(small, centre, (WIDTH // 20, HEIGHT // 16), 0, 0, 360, 1, -1)
    cv2.ellipse(small, (WIDTH // 8, HEIGHT // 4), (WIDTH // 10, HEIGHT // 11), 0, 0, 360, 1, -1)
    for angle in rng.uniform(0, 2 * np.pi, 400):
        reach = WIDTH // 20 * rng.uniform(1.1, 1.6)
        end = (int(centre[0] + reach * np.cos(angle)), int(centre[1] + reach * np.sin(angle)))
        cv2.line(small, centre, end, float(rng.uniform(0.2, 1)), 1)
    soft = cv2.GaussianBlur(small, (0, 0), 1.5)
    large = cv2.resize(soft, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    stains = cv2.resize(rng.uniform(-0.3, 0.15, (40, 30)).astype(np.float32), (WIDTH, HEIGHT))
    # 8 bits, as ground truth has them.
    return np.rint((large + stains.clip(0, 1)).clip(0, 1) * 255).astype(np.float32) / np.float32(
        255
    )


def plain_grad(prediction: Matte, target: Matte) -> float:
    """Gradient error of P3M on whole images."""
    lengths = []
    for alpha in (prediction, target):
        down = gaussian_filter(alpha, 1.4, order=[1, 0], output=np.float32)
        right = gaussian_filter(alpha, 1.4, order=[0, 1], output=np.float32)
        lengths.append(np.sqrt(down**2 + right**2))
    return float(np.square(lengths[0] - lengths[1]).sum(dtype=np.float64)) / 10


def plain_conn(prediction: Matte, target: Matte) -> float:
    """Connectivity error of P3M on whole images, with scikit-image's labels."""
    levels = 0.1 * np.arange(11)
    last = np.full(target.shape, -1, np.float32)
    for lower, level in pairwise(levels):
        regions = label((prediction >= level) & (target >= level), connectivity=1)
        sizes = np.bincount(regions.ravel())[1:]
        if not len(sizes):
            continue
        largest = regions == 1 + sizes.argmax()
        last[(last == -1) & ~largest] = lower
    last[last == -1] = 1
    above = [(alpha - last) * (alpha - last >= 0.15) for alpha in (prediction, target)]
    return float(np.abs(1 - above[0] - (1 - above[1])).sum(dtype=np.float64)) / 1000


def fastest(call: Callable[[], Any]) -> float:
    """Least seconds of a few calls."""
    seconds = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - begun)
    return min(seconds)


if __name__ == "__main__":
    main()
