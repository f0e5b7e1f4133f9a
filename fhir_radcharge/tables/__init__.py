"""The files under mappings/ into proved tables."""
