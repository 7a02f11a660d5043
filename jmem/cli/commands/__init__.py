"""One module a command (or group of commands): its declaration, COMMAND or COMMANDS, and what it does."""
