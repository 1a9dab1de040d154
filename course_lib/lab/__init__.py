"""Experiments of the chapters: seeded, without pictures, with tidy data frames as results."""
