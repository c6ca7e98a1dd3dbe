"""The `llem` command: parse, call the api, print."""
