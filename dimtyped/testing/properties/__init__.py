"""Properties that a model must have at every size: `fuzz` and `independent`."""
