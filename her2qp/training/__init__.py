"""Training slide models on bags with labels."""
