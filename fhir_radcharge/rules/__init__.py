"""What is due: pure functions over events and tables."""
