"""Chapter 2, Normalization (归一化)."""
