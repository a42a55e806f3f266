"""Independent tasks on the cores of this machine or of many, through Dask."""
