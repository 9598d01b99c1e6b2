"""DAViD in the registries of transformers: Auto classes, image processors, pipelines."""

from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModel,
    AutoModelForDepthEstimation,
    AutoModelForImageMatting,
    AutoModelForImageToImage,
    AutoModelForNormalEstimation,
)
from transformers.models.auto import modeling_auto
from transformers.models.auto.image_processing_auto import (  # type: ignore[attr-defined]
    IMAGE_PROCESSOR_MAPPING_NAMES,
)
from transformers.pipelines import PIPELINE_REGISTRY

from .model import (
    DavidConfig,
    DavidDensePredictionPipeline,
    DavidForDensePrediction,
    DavidForDepthEstimation,
    DavidForImageMatting,
    DavidForNormalEstimation,
    DavidImageMattingPipeline,
    DavidImageProcessor,
    DavidImageProcessorPil,
    DavidModel,
    DavidNormalEstimationPipeline,
)

__all__ = ["IMAGE_PROCESSORS", "MODELS", "PIPELINES", "TASK_MODELS", "register"]

MODELS: dict[type, type] = {
    AutoModel: DavidModel,
    AutoModelForDepthEstimation: DavidForDepthEstimation,
    AutoModelForNormalEstimation: DavidForNormalEstimation,
    AutoModelForImageMatting: DavidForImageMatting,
    # No Auto class is meant for several dense maps at once; this one promises images.
    AutoModelForImageToImage: DavidForDensePrediction,
}
TASK_MODELS: dict[str, type] = {
    "depth": AutoModelForDepthEstimation,
    "normals": AutoModelForNormalEstimation,
    "alpha": AutoModelForImageMatting,
}
IMAGE_PROCESSORS: dict[str, type] = {
    "torchvision": DavidImageProcessor,
    "pil": DavidImageProcessorPil,
}
# Beside "depth-estimation", which transformers has itself.
PIPELINES: dict[str, tuple[type, type]] = {
    "surface-normal-estimation": (DavidNormalEstimationPipeline, AutoModelForNormalEstimation),
    "image-matting": (DavidImageMattingPipeline, AutoModelForImageMatting),
    "human-dense-prediction": (DavidDensePredictionPipeline, AutoModelForImageToImage),
}
# Tables of class names that parts of transformers read and that `register` does not fill.
_NAME_TABLES: dict[str, type] = {
    "MODEL_MAPPING_NAMES": DavidModel,
    "MODEL_FOR_NORMAL_ESTIMATION_MAPPING_NAMES": DavidForNormalEstimation,
    "MODEL_FOR_IMAGE_MATTING_MAPPING_NAMES": DavidForImageMatting,
    "MODEL_FOR_IMAGE_TO_IMAGE_MAPPING_NAMES": DavidForDensePrediction,
}


def register() -> None:
    """Enter the classes; doing it again changes nothing."""
    model_type = DavidConfig.model_type
    AutoConfig.register(model_type, DavidConfig, exist_ok=True)
    for auto_class, model_class in MODELS.items():
        auto_class.register(DavidConfig, model_class, exist_ok=True)  # type: ignore[attr-defined]
    for table, model_class in _NAME_TABLES.items():
        getattr(modeling_auto, table).setdefault(model_type, model_class.__name__)
    AutoImageProcessor.register(
        DavidConfig, image_processor_classes=dict(IMAGE_PROCESSORS), exist_ok=True
    )
    IMAGE_PROCESSOR_MAPPING_NAMES.setdefault(
        model_type, {backend: named.__name__ for backend, named in IMAGE_PROCESSORS.items()}
    )
    for task, (pipeline_class, auto_class) in PIPELINES.items():
        if task not in PIPELINE_REGISTRY.get_supported_tasks():
            PIPELINE_REGISTRY.register_pipeline(task, pipeline_class, auto_class, type="image")
