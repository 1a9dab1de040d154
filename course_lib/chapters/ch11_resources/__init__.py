"""Chapter 11: the code behind notebooks/11_resources.ipynb; its tests are in tests/chapters/ch11_resources."""
