"""Running, comparing and explaining a reader's answer: the machinery of the exercises of all chapters."""
