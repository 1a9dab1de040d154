"""The experiments of chapter 8: seeded, without pictures, with tidy data frames as results."""
