"""Chapter 11, Resources and hyperparameters (资源计算)."""
