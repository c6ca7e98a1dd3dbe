"""What an experiment is: the models of its configuration, and how they are loaded."""
