"""The experiments of chapter 10: seeded, without pictures, with tidy data frames as results."""
