"""Planes of a stack: their order, and labels carried from one to the next."""
