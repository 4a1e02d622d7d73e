"""Parameter-efficient fine-tuning: methods on a frozen backbone."""

from .arch import ArchSpec, LayerSpec, describe_architecture
from .handle import Handle, Site
from .registry import METHODS, attach

__all__ = ["METHODS", "ArchSpec", "Handle", "LayerSpec", "Site", "attach", "describe_architecture"]
