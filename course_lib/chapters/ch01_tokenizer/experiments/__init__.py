"""The experiments of chapter 1: seeded, without pictures, with tidy data frames as results."""
