//! crumb-tests
