"""The local stack without Docker: servers as plain processes, and the commands on them. Standard library only."""
