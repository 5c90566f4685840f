"""Random packets through the kernel's program and through the reference: `make fuzz PACKETS=N`."""
