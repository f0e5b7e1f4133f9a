"""The official edit files and fee schedules: read as published, kept by edition, looked up by day."""
