"""Properties that a model has in every size: `fuzz` and `independent`."""
