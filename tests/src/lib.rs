//! The system as a whole: end to end, interop, scenarios, the demo runner.
