"""Chapter 12, Train a language model (综合实验)."""
