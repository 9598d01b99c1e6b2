"""transformers' own tests of image processors, run on DAViD.

The tester finds the classes by the name of this folder, the model type.
"""

import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any

import numpy as np
from transformers_tests.test_image_processing_common import (
    ImageProcessingTester,
    ImageProcessingTestMixin,
)

from david_hf.model import DavidImageProcessorPil

WITHOUT_TORCHVISION = """
import sys

sys.modules["torchvision"] = None

import numpy as np
from transformers import AutoImageProcessor

import david_hf

folder = sys.argv[1]
processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
assert type(processor).__name__ == "DavidImageProcessorPil"
photo = np.load(folder + "/photo.npy")
np.save(folder + "/pixel_values.npy", processor(photo, return_tensors="np")["pixel_values"])
"""


class DavidImageProcessingTester(ImageProcessingTester):
    def __init__(self, parent: Any, **options: Any) -> None:
        options.setdefault("size", {"height": 20, "width": 18})
        super().__init__(parent, **options)


class DavidImageProcessingTest(ImageProcessingTestMixin, unittest.TestCase):
    image_processor_tester_class = DavidImageProcessingTester

    def test_pil_can_run_without_torchvision(self) -> None:
        """As upstream, whose process cannot know a class from outside transformers: it is told."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            processor = DavidImageProcessorPil(**self.image_processor_dict)
            processor.save_pretrained(folder)
            photo = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
            np.save(folder / "photo.npy", photo)

            subprocess.run(
                [sys.executable, "-c", WITHOUT_TORCHVISION, str(folder)],
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                check=True,
            )

            expected = processor(photo, return_tensors="np")["pixel_values"]
            np.testing.assert_array_equal(np.load(folder / "pixel_values.npy"), expected)

    # Its name before 5.23, when it only loaded, from a module inside transformers.
    test_pil_can_load_without_torchvision = test_pil_can_run_without_torchvision
