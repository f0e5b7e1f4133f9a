"""Reckonings that never call the code they judge."""
