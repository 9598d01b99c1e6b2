"""Checkpoints on their way to the Hub: cards, code that travels along, publishing."""

from .publish import PublishError, PublishReport, publish, write_release
from .remote_code import export_remote_code

__all__ = ["PublishError", "PublishReport", "export_remote_code", "publish", "write_release"]
