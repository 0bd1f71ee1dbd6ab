#!/bin/sh
# login.sh federated-token|identity SCOPE [SECONDS]: logs in with the Azure CLI as docs/clients.md says, and prints a
# token. With SECONDS, waits that long and prints another one. ARM_ENDPOINT stands for Azure Resource Manager, which
# lists the subscriptions.
set -eu
az=.venv/bin/az
AZURE_CONFIG_DIR=$(mktemp -d)
trap 'rm -rf "$AZURE_CONFIG_DIR"' EXIT
export AZURE_CONFIG_DIR AZURE_CORE_COLLECT_TELEMETRY=0 AZURE_CORE_INSTANCE_DISCOVERY=false

$az cloud register --name broker --skip-endpoint-discovery --only-show-errors \
  --endpoint-active-directory "$AUTHORITY" --endpoint-active-directory-resource-id "${2%/.default}" \
  --endpoint-active-directory-graph-resource-id https://graph.microsoft.com \
  --endpoint-microsoft-graph-resource-id https://graph.microsoft.com \
  --endpoint-resource-manager "$ARM_ENDPOINT" --endpoint-management "$ARM_ENDPOINT"
$az cloud set --name broker --only-show-errors

case $1 in
  identity) $az login --identity --allow-no-subscriptions --output none ;;
  *)
    $az login --service-principal --username "$AZURE_CLIENT_ID" --tenant "$AZURE_TENANT_ID" \
      --federated-token "$(cat "$AZURE_FEDERATED_TOKEN_FILE")" --allow-no-subscriptions --output none
    ;;
esac
token() { $az account get-access-token --scope "$1" --query accessToken --output tsv; }
token "$2"
if [ -n "${3:-}" ]; then
  sleep "$3"
  token "$2"
fi
