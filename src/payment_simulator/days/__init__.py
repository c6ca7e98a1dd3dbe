"""Days that were kept: a folder with a scenario, its payments and what became of them; and two of them compared."""
