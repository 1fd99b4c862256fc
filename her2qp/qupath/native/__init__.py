"""QuPath's data files in pure Python: parsed to a graph of Java objects, edited as a graph, written back."""
