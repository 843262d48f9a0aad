"""The commands, one file for each subject; a command imports what it needs when it runs, so that help stays fast."""
