"""Recorded scenarios: from the columns of a recording to what the model says about them, in its notation."""
