"""Chapter 3: the code behind notebooks/03_gating_and_activations.ipynb; its tests are in tests/chapters/ch03_gating."""
