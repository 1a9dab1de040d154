"""Chapter 9: the code behind notebooks/09_schedules.ipynb; its tests are in tests/chapters/ch09_schedules."""
