"""Chapter 5: the code behind notebooks/05_attention.ipynb; its tests are in tests/chapters/ch05_attention."""
