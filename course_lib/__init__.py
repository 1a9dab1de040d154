"""Language models from scratch, by measurement: the library behind the course notebooks."""
