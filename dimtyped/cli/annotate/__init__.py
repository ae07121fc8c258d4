"""The command `annotate`: jaxtyping annotations for the functions that a run calls."""
