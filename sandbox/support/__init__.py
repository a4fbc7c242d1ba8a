"""The archive that goes with a report: everything a helper would ask for, and no secret."""
