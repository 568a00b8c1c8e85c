"""Model weights: search, download, identification and safe reading."""
