"""What a run will take, before it runs: parameters, memory, time and storage from its configuration alone."""
