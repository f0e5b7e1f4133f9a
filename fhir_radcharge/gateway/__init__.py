"""Sockets in, sockets out."""
