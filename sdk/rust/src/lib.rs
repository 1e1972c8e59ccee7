//! crumb-sdk
