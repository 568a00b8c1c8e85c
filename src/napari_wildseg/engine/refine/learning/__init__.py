"""What corrections teach about the rest of the image."""
