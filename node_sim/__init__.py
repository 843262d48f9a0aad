"""One simulated server: DRAM faults, ECC, machine checks and the hwpoison handler. Pure functions on arrays."""
