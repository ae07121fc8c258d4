"""What does not fit, by kind of operator: a page for each, and the table of them."""
