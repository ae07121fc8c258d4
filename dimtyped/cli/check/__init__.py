"""`dimtyped check`: the classes and functions of files, each followed before its first batch."""
