"""Collect these tests only where `TRANSFORMERS_TESTS` names what `fetch.py` made."""

import os
import sys

FOLDER = os.environ.get("TRANSFORMERS_TESTS")

if FOLDER is None:
    collect_ignore = ["david"]
else:
    sys.path.insert(0, FOLDER)
