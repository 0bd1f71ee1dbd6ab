#!/bin/sh
# The broker's own endpoint. Set BROKER (its URL), TENANT (whose token you want) and TOKEN_FILE (your own token).
set -eu
curl --silent --show-error --fail-with-body --max-time 10 "$BROKER/tokens" \
  -H "authorization: Bearer $(cat "$TOKEN_FILE")" -H 'content-type: application/json' \
  -d "{ \"tenant\": \"$TENANT\", \"scope\": \"${1:-https://graph.microsoft.com/.default}\" }"
