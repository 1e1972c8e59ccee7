//! crumb-proto
