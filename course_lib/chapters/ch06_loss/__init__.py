"""Chapter 6: the code behind notebooks/06_loss.ipynb; its tests are in tests/chapters/ch06_loss."""
