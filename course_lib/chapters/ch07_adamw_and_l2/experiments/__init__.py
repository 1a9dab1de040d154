"""The experiments of chapter 7: seeded, without pictures, with tidy data frames as results."""
