"""The memory of one account, as the API sees it."""
