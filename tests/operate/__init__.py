"""What is promised to an operator: restarts, faults of the disk, scale."""
