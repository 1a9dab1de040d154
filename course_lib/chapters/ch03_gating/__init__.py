"""Chapter 3, Gating and activations (门控与激活)."""
