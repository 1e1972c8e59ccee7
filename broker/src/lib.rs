//! crumb-broker
