"""Linen modules: plain values in, no configs, no training code."""
