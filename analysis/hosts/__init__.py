"""What hosts with the rows of a run show to those who watch them: counters, records and logs."""
