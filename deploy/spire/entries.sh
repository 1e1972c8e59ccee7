#!/bin/sh
# The registration entries of one host: each service is known by the user that it runs as.
# Usage: entries.sh TRUST_DOMAIN NODE_SPIFFE_ID, where `spire-server` can reach its server.
set -eu
domain=$1
node=$2

entry() { # path, user number
  spire-server entry create -parentID "$node" -spiffeID "spiffe://$domain/$1" -selector "unix:uid:$2" -x509SVIDTTL 3600
}

entry broker "$(id -u crumb-broker)"
entry sidecar/host-1 "$(id -u crumb-sidecar)"
entry tool/files "$(id -u crumb-tools)"
