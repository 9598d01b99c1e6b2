"""The network, its configuration and its image processors: the files a checkpoint carries."""

from .configuration_david import DavidConfig
from .image_processing_david import DavidImageProcessor
from .image_processing_pil_david import DavidImageProcessorPil
from .modeling_david import (
    DavidForDensePrediction,
    DavidForDepthEstimation,
    DavidForImageMatting,
    DavidForNormalEstimation,
    DavidModel,
    DavidPreTrainedModel,
)
from .outputs_david import (
    DavidDensePredictionOutput,
    DavidImageMattingOutput,
    DavidNormalEstimatorOutput,
)
from .pipeline_david import (
    DavidDensePredictionPipeline,
    DavidImageMattingPipeline,
    DavidNormalEstimationPipeline,
)

__all__ = [
    "DavidConfig",
    "DavidDensePredictionOutput",
    "DavidDensePredictionPipeline",
    "DavidForDensePrediction",
    "DavidForDepthEstimation",
    "DavidForImageMatting",
    "DavidForNormalEstimation",
    "DavidImageMattingOutput",
    "DavidImageMattingPipeline",
    "DavidImageProcessor",
    "DavidImageProcessorPil",
    "DavidModel",
    "DavidNormalEstimationPipeline",
    "DavidNormalEstimatorOutput",
    "DavidPreTrainedModel",
]
