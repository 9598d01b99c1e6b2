"""Depth, surface normals and a soft foreground mask of people from one photo.

Importing the package makes transformers know DAViD: afterwards `pipeline("depth-estimation")`, the
`AutoModel` family and `AutoImageProcessor` load its checkpoints.
"""

from importlib.metadata import version

from .model import (
    DavidConfig,
    DavidForDensePrediction,
    DavidForDepthEstimation,
    DavidForImageMatting,
    DavidForNormalEstimation,
    DavidImageProcessor,
    DavidImageProcessorPil,
    DavidModel,
)
from .onnx_backend import OnnxDavid
from .predictor import DavidPredictor, Prediction, bundled_checkpoint
from .registration import register

__all__ = [
    "DavidConfig",
    "DavidForDensePrediction",
    "DavidForDepthEstimation",
    "DavidForImageMatting",
    "DavidForNormalEstimation",
    "DavidImageProcessor",
    "DavidImageProcessorPil",
    "DavidModel",
    "DavidPredictor",
    "OnnxDavid",
    "Prediction",
    "__version__",
    "bundled_checkpoint",
]

__version__ = version("david-hf")

register()
