"""One bad page, step by step: injections, and scenarios recorded on real kernels."""
