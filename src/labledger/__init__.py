"""The kernel of labledger: what makes an experiment last."""
