"""The experiments of chapter 3: seeded, without pictures, with tidy data frames as results."""
