"""Two answers, and what would change from one to the other: over the books, an archive or cases."""
