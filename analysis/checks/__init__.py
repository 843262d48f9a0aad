"""Whether a run is what its scenario means: observed figures against closed forms and laws."""
