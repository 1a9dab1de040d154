"""The experiments of chapter 11: seeded, without pictures, with tidy data frames as results."""
