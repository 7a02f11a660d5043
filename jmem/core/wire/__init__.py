"""What the HTTP API takes and answers, in the daemon and in the hosted backend. Needs pydantic; the core does not import it."""
