"""Fetch the common tests of the installed transformers: `python tests/upstream/fetch.py FOLDER`.

They are in its source distribution, not in its wheel. FOLDER gets them as the package
`transformers_tests`, with stand-ins for what the distribution leaves out.
"""

import shutil
import subprocess
import sys
import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path

# What the tests import and the distribution lacks: mixins for exporting and for generating text,
# options of text models, and pictures from the Hub, for which a photo of this repository serves.
PHOTO = Path(__file__).parents[2] / "spaces" / "david" / "examples" / "astronaut.jpg"
STAND_INS = {
    "transformers_tests/exporters/test_export.py": "class ExportTesterMixin: ...\n",
    "transformers_tests/generation/test_utils.py": "class GenerationTesterMixin: ...\n",
    "transformers_tests/utils/test_configuration_utils.py": "config_common_kwargs = {}\n",
    "fetch_hub_objects_for_ci.py": f"def url_to_local_path(url):\n    return {str(PHOTO)!r}\n",
}


def main(folder: Path) -> None:
    """Download, unpack, complete."""
    release = f"transformers-{version('transformers')}"
    with tempfile.TemporaryDirectory() as download:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        only_source = ["--no-deps", "--no-binary", "transformers", "--dest", download]
        subprocess.run([*pip, *only_source, release.replace("-", "==")], check=True)
        with tarfile.open(Path(download) / f"{release}.tar.gz") as archive:
            archive.extractall(download, filter="data")
        package = folder / "transformers_tests"
        shutil.rmtree(package, ignore_errors=True)
        shutil.copytree(Path(download) / release / "tests", package)
    (package / "__init__.py").touch()
    for name, text in STAND_INS.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
