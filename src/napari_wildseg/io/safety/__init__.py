"""Checks of untrusted sizes and names, and locks on files."""
