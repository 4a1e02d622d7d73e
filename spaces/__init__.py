"""What can be chosen: spaces of configurations."""

from .encoding import Encoding
from .parameter import Condition, Config, Parameter, Value
from .space import Space

__all__ = ["Condition", "Config", "Encoding", "Parameter", "Space", "Value"]
