"""The version of the package; `setup.cfg` has it, too."""

__version__ = "0.1.0"
