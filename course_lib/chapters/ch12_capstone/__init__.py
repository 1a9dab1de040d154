"""Chapter 12: the code behind notebooks/12_train_a_language_model.ipynb; tests: tests/chapters/ch12_capstone."""
