"""Chapter 10: the code behind notebooks/10_memmap_data.ipynb; its tests are in tests/chapters/ch10_memmap_data."""
