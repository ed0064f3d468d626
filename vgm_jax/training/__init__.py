"""The one training loop and what it stands on; it knows no task but by its protocol."""
