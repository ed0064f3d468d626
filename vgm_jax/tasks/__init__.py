"""What is learnt, and the one way from a config to modules."""

from vgm_jax.tasks.builder import TASKS, build

__all__ = ["TASKS", "build"]
