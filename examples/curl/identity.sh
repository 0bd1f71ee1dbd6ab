#!/bin/sh
# The identity protocol of App Service, with the broker or an agent. Azure SDKs read the same variables.
set -eu
curl --silent --show-error --fail-with-body --max-time 10 --get "$IDENTITY_ENDPOINT" \
  -H "x-identity-header: $IDENTITY_HEADER" -d api-version=2019-08-01 \
  --data-urlencode "resource=${1:-https://graph.microsoft.com/.default}"
