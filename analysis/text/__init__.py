"""What commands print about runs: documents and lines."""
