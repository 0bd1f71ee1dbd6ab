#!/bin/sh
# OAuth client credentials (RFC 6749 section 4.4) with the workload's own token as client assertion.
set -eu
curl --silent --show-error --fail-with-body --max-time 10 "$BROKER/oauth2/token" \
  -d grant_type=client_credentials -d "tenant=$TENANT" \
  --data-urlencode "scope=${1:-https://graph.microsoft.com/.default}" \
  --data-urlencode "client_assertion@$TOKEN_FILE" \
  -d client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer
