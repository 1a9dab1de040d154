"""Chapter 12: the code behind notebooks/12_train_a_language_model.ipynb; its tests are in tests/chapters/ch12_capstone."""
