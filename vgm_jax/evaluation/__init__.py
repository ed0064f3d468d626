"""Honest figures: what a distance is measured in (features) and how (Frechet, ...)."""
