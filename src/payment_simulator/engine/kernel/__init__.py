"""The compiled engine: the same settlement as the reference, as arrays and loops."""
