"""The demo that `python -m dimtyped demo` runs. Nothing else imports it: it needs rich, from the extra `demo`."""
