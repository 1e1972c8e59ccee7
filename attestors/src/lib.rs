//! crumb-attestors
