"""What `import david_hf` costs beside transformers itself."""

import json
import subprocess
import sys

# Extras, and what only single functions need.
NOT_IMPORTED = {"accelerate", "datasets", "gradio", "onnx", "onnxruntime", "OpenEXR", "rich"} | {
    "scipy",
    "tensorboard",
    "torchvision",
    "typer",
    "yaml",
}


def imported_packages(statement: str) -> set[str]:
    script = f"{statement}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True
    )
    assert result.stderr == ""
    return {name.split(".")[0] for name in json.loads(result.stdout)}


def test_nothing_that_is_not_needed_is_imported() -> None:
    # transformers takes in accelerate and scipy where they are installed: not ours to answer for.
    ours = imported_packages("import david_hf") - imported_packages("import transformers.pipelines")

    assert "david_hf" in ours
    assert not ours & NOT_IMPORTED
