"""The experiments of chapter 2: seeded, without pictures, with tidy data frames as results."""
