"""What a user names on the command line: files, modules and folders, what is in them, and how it is made."""
