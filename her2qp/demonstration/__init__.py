"""The demonstration: an example project of one real and two artificial slides, scored."""

from her2qp.demonstration.project import Demonstration, run_demonstration

__all__ = ["Demonstration", "run_demonstration"]
