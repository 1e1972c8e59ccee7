//! crumb-sample-tools
