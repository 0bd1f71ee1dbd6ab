#!/bin/sh
# The broker's own endpoint. BROKER, TENANT and TOKEN_FILE say where, whose token, and who asks.
set -eu
curl --silent --show-error --fail-with-body --max-time 10 "$BROKER/tokens" \
  -H "authorization: Bearer $(cat "$TOKEN_FILE")" -H 'content-type: application/json' \
  -d "{ \"tenant\": \"$TENANT\", \"scope\": \"${1:-https://graph.microsoft.com/.default}\" }"
