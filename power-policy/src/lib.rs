//! What stays powered, and why: the cluster model, grouping, planner, checker, interruption and simulated electricity.
