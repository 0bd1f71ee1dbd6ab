#!/bin/sh
# login.sh workloadidentity|msi SCOPE [SECONDS]: gets a credential for kubectl as docs/clients.md says, and prints it.
# With SECONDS, waits that long and prints another one.
set -eu
credential() {
  case $1 in
    msi) bin/kubelogin get-token --login msi --server-id "${2%/.default}" ;;
    *)
      # kubelogin, unlike the SDKs, requires the slash at the end.
      AZURE_AUTHORITY_HOST=$AUTHORITY/ bin/kubelogin get-token --login workloadidentity \
        --server-id "${2%/.default}" --disable-instance-discovery
      ;;
  esac
}
credential "$1" "$2"
if [ -n "${3:-}" ]; then
  sleep "$3"
  credential "$1" "$2"
fi
