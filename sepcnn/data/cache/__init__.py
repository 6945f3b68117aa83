"""Decoded images, stored once for all later commands."""
