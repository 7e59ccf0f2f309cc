//! The policy decision point: learns the cluster over COPS, plans, journals, decides.
