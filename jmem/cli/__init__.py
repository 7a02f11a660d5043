"""The command line: one declaration a command, a fast parser and a typer application made from it."""
