"""How each kind of sensor is found and read. The sampler imports these: nothing heavy."""
