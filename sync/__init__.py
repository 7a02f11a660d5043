"""Two-way sync with the hosted account."""
