#!/bin/sh
# OAuth token exchange (RFC 8693) with the workload's own token as subject token.
set -eu
curl --silent --show-error --fail-with-body --max-time 10 "$BROKER/oauth2/token" \
  -d grant_type=urn:ietf:params:oauth:grant-type:token-exchange -d "tenant=$TENANT" \
  --data-urlencode "scope=${1:-https://graph.microsoft.com/.default}" \
  --data-urlencode "subject_token@$TOKEN_FILE" \
  -d subject_token_type=urn:ietf:params:oauth:token-type:jwt
