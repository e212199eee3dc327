"""Honest variants: what a competent engineer may do otherwise than the reference, and is right."""
