"""Weights in files: found, downloaded, identified and read."""
