"""What became of every delivered fraction."""
