"""Chapter 7, AdamW against L2 (权重衰减)."""
