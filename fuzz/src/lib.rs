//! Fuzz targets and their seeds, for security reviewers.
