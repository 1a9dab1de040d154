"""How a reader's answer is run, compared and explained: what the exercises of all chapters are made of."""
