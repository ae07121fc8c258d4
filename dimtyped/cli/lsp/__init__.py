"""`dimtyped lsp`: a language server; each file is checked in a process of its own."""
