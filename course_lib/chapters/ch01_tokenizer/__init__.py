"""Chapter 1: the code behind notebooks/01_tokenizer.ipynb and 01b_bpe_engine.ipynb; its tests are in tests/chapters/ch01_tokenizer."""
