"""Who proposes policies: a search that needs nothing, or a language model."""
