"""The HTTP and WebSocket server. Never imports torch."""
