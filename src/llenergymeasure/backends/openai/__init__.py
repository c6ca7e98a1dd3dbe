"""Servers that speak OpenAI's protocol: requests streamed over HTTP, under a load of the user's choice."""
