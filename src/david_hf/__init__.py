"""Depth, surface normals and a soft foreground mask of people from one photo.

Importing the package makes transformers know DAViD: afterwards `pipeline("depth-estimation")`, the
`AutoModel` family and `AutoImageProcessor` load its checkpoints.
"""

from importlib.metadata import version
from typing import cast

from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModel,
    AutoModelForDepthEstimation,
    AutoModelForImageMatting,
    AutoModelForNormalEstimation,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_DEPTH_ESTIMATION_MAPPING_NAMES

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
from .predictor import DavidPredictor, Prediction, bundled_checkpoint

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
    "Prediction",
    "__version__",
    "bundled_checkpoint",
]

__version__ = version("david-hf")


def _register() -> None:
    """Enter the classes into the registries of transformers; doing it again changes nothing."""
    AutoConfig.register(DavidConfig.model_type, DavidConfig, exist_ok=True)
    AutoModel.register(DavidConfig, DavidModel, exist_ok=True)
    AutoModelForDepthEstimation.register(DavidConfig, DavidForDepthEstimation, exist_ok=True)
    AutoModelForNormalEstimation.register(DavidConfig, DavidForNormalEstimation, exist_ok=True)
    AutoModelForImageMatting.register(DavidConfig, DavidForImageMatting, exist_ok=True)
    AutoImageProcessor.register(
        DavidConfig,
        image_processor_classes={
            "torchvision": DavidImageProcessor,
            "pil": DavidImageProcessorPil,
        },
        exist_ok=True,
    )
    # The depth pipeline looks class names up here, where `register` does not enter them, and would
    # log an error about an unsupported model.
    names = (DavidForDepthEstimation.__name__, DavidForDensePrediction.__name__)
    mapping = cast("dict[str, str | tuple[str, ...]]", MODEL_FOR_DEPTH_ESTIMATION_MAPPING_NAMES)
    mapping.setdefault(DavidConfig.model_type, names)


_register()
