"""Changing a project so that it holds either the old state or the new one, and can be put back."""
