"""From ONNX files to checkpoints, and from checkpoints to files for fast runtimes."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .convert import Conversion, ConversionError, convert_onnx
    from .export import ExportError, ExportReport, ExportSettings, export_checkpoint

__all__ = [
    "Conversion",
    "ConversionError",
    "ExportError",
    "ExportReport",
    "ExportSettings",
    "convert_onnx",
    "export_checkpoint",
]


def __getattr__(name: str) -> Any:
    """Import on demand: reading needs the package onnx, which exporting to OpenVINO does not."""
    if name in __all__:
        from importlib import import_module

        module = "export" if name.lower().startswith("export") else "convert"
        return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
