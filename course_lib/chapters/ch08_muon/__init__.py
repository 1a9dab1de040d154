"""Chapter 8, Muon."""
