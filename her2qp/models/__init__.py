"""Slide models: a bag of tile features in, class probabilities and attention out. Knows neither QuPath nor slides."""
