"""What is kept: jobs, events and outputs in SQLite, and the files of users and models."""
