"""The protocol between the server and its workers, and how workers are started."""
