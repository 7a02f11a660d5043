"""The hosted backend: one account's memory for every machine and assistant of its owner."""
