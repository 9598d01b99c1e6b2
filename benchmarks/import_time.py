"""Time `import david_hf` beside what every model of transformers imports.

Usage: `python benchmarks/import_time.py [--repeats 7]`
"""

import argparse
import subprocess
import sys
import time

STATEMENTS = ("from transformers import PreTrainedModel", "import david_hf")


def main() -> None:
    """Run both statements in turn in processes of their own and print the fastest of each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    # In turn, so that a busy moment hits both alike; the fastest, since noise only adds.
    runs = [[seconds(statement) for statement in STATEMENTS] for _ in range(repeats)]
    baseline, ours = (min(column) for column in zip(*runs, strict=True))
    print(f"{STATEMENTS[0]}: {baseline:.2f} s")
    print(f"{STATEMENTS[1]}: {ours:.2f} s, {ours - baseline:+.2f} s, {ours / baseline:.2f} times")


def seconds(statement: str) -> float:
    """Wall-clock seconds of a Python process that runs one statement."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
