"""Chapter 1: the code behind notebooks/01_tokenizer.ipynb; its tests are in tests/chapters/ch01_tokenizer."""
