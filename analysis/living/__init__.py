"""A fleet that goes on living while it is watched: the rows of a run, served host by host as time passes."""
