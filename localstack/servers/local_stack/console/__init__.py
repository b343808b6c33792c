"""The console: one page on this machine that shows what the local stack does, and changes it where a token allows that."""
