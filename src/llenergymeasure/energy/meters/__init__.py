"""Meters: from the samples of a source to the energy of any window, behind the interface in `base`."""
