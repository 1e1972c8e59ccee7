//! crumb-identity
