"""Chapter 0: the code behind notebooks/00_start_here.ipynb; its tests are in tests/chapters/ch00_start."""
