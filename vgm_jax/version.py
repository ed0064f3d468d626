"""The version, which needs nothing else."""

__version__ = "0.1.0"
