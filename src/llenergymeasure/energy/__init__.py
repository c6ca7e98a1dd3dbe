"""Energy: sources, the meters that read them, and the joules of a window with their bound."""
