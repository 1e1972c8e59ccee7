//! crumb-verifier
