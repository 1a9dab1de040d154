"""A folder for each notebook: its experiments, pictures, explorers and exercises. No chapter imports another."""
