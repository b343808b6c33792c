"""The command lines, and what only they do."""
