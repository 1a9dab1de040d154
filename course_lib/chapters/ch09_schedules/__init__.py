"""Chapter 9, Learning-rate schedules (学习率调度)."""
