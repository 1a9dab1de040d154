"""The experiments of chapter 6: seeded, without pictures, with tidy data frames as results."""
