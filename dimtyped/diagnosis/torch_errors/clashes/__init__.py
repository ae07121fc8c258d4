"""What does not fit, by kind of operator: a file for each kind, and the table of all rules."""
