"""What can be chosen: spaces of configurations."""

from .encoding import Encoding
from .space import Condition, Config, Parameter, Space, Value

__all__ = ["Condition", "Config", "Encoding", "Parameter", "Space", "Value"]
