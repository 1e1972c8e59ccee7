//! crumb-agent-sidecar
