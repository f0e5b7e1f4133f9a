"""Sender and destination profiles, read from their files."""
