"""The experiments of chapter 12: seeded, without pictures, with tidy data frames as results."""
