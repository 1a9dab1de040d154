"""Chapter 2: the code behind notebooks/02_normalization.ipynb; its tests are in tests/chapters/ch02_normalization."""
