"""Work on the workers of a Dask cluster that is there already."""
