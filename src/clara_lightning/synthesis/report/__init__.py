"""What a reader learns of a synthesis: figures, a verdict in words, and samples to read."""
