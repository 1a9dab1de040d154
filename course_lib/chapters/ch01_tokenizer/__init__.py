"""Chapter 1: the code behind notebooks/01_tokenizer.ipynb and notebooks/01b_bpe_engine.ipynb.

Its tests are in tests/chapters/ch01_tokenizer.
"""
