"""Independent models that the simulator is compared with."""
