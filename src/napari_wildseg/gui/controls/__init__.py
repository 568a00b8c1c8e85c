"""Widgets that the sections are made of; none knows a model or a layer."""
