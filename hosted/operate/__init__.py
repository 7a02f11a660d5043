"""Running the hosted backend: serving it, looking after it, keeping copies of it."""
