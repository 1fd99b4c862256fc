"""The main job: an image's regions become a result, and the result is written back into the project."""
