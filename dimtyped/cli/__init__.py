"""The commands of `python -m dimtyped`."""
