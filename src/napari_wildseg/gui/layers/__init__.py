"""Label and image layers: made, styled, written to as one undo step."""
