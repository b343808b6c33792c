"""The servers that a stack can have, a module each; `table` lists them."""
