"""From a prompt to what the network attends to: tokens, weights, chunks and text features."""
