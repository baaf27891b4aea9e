"""What a network sees in its inputs: contributions of each base and of each value beside it."""
