"""The sources of energy, a file each, behind the interface in `base`."""
