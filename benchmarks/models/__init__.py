"""The models that are timed. Each is one source, run once with `dimtyped.nn` and once with `torch.nn`."""
