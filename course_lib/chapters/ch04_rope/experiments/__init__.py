"""The experiments of chapter 4: seeded, without pictures, with tidy data frames as results."""
