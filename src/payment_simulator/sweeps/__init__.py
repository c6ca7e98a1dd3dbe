"""Many runs of a scenario: settings swept, days sampled, banks that fail; over all cores, resumable."""
