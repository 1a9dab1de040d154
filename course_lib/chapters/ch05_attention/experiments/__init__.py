"""The experiments of chapter 5: seeded, without pictures, with tidy data frames as results."""
