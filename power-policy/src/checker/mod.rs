//! An independent judge of plans: knows the model and the plan types, and never the planner.
