"""Machine checks: how the kernel grades a record and what it does next."""
