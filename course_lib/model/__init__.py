"""A Transformer language model from scratch, one concept a file."""

from course_lib.model.config import ModelConfig

__all__ = ["ModelConfig"]
