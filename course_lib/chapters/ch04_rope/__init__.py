"""Chapter 4: the code behind notebooks/04_rope.ipynb; its tests are in tests/chapters/ch04_rope."""
