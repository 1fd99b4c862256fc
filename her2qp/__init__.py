"""Score the annotated tumour regions of a QuPath project for HER2 and write the result back."""
