"""What we assume: parameters, clocks, trajectories, outcomes and the model that joins them."""
