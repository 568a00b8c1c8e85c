"""Stacks: the order of planes, and propagation of labels from plane to plane."""
