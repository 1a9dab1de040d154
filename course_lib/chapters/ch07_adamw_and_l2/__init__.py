"""Chapter 7: the code behind notebooks/07_adamw_and_l2.ipynb; its tests are in tests/chapters/ch07_adamw_and_l2."""
