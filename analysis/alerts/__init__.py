"""Alert rules on what hosts show, judged against the errors that a run knows."""
