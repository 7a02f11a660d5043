"""`python -m jmem`."""

from jmem.cli.main import main

main()
