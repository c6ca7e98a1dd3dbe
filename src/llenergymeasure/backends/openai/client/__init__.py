"""Requests over HTTP and their answers' arrival times."""
