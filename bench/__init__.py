"""Measurements of jmem against floors taken in the same run: `python -m bench` lists them."""
