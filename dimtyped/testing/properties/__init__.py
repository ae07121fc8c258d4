"""What a model must satisfy in every size: `fuzz` and `independent`."""
