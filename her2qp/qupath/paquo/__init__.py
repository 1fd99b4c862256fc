"""QuPath's own code as a store: found through paquo, run in a process of its own."""
