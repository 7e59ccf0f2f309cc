//! The policy enforcement point on a node: observes reserves, lines and activities, enforces plans.
