"""What a button does: Auto-segment, Refine, threshold, propagation, learning."""
