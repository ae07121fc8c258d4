"""One question a file. Each has an `ask(run)` that yields rows, and the question as its docstring's first line."""
