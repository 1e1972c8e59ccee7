//! crumb-dev-identity
