"""Chapter 8: the code behind notebooks/08_muon.ipynb; its tests are in tests/chapters/ch08_muon."""
