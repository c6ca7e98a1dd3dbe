"""What a study's stored runs tell: each cell's figures, which differ, and which is best."""
