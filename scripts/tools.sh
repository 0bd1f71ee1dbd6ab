#!/usr/bin/env bash
# Installs Helm and promtool into .tools/bin, for the tests that need them. If one is unavailable, this script says so
# and continues. The tests that need it are then skipped, and say what is missing.
set -uo pipefail
cd "$(dirname "$0")/.."
bin="$PWD/.tools/bin"
mkdir -p "$bin"

# The version is defined in the tests.
helm=$(sed -nE "s/.*helmVersion = '(v[0-9.]+)'.*/\1/p" test/chart/helm.ts)
if command -v helm >/dev/null && helm version --short 2>/dev/null | grep -q '^v4'; then
  echo "tools: $(command -v helm)"
elif [ -x "$bin/helm" ] && "$bin/helm" version --short | grep -q "^$helm"; then
  echo "tools: .tools/bin/helm $helm"
elif command -v go >/dev/null; then
  echo "tools: go install helm.sh/helm/v4/cmd/helm@$helm"
  GOBIN="$bin" go install "helm.sh/helm/v4/cmd/helm@$helm" || echo "tools: Helm is unavailable; the chart's tests are skipped"
else
  echo 'tools: neither Helm 4 nor Go to build it is installed; the chart'"'"'s tests are skipped'
fi

if command -v promtool >/dev/null || [ -x "$bin/promtool" ]; then
  echo 'tools: promtool is installed'
elif command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null; then
  echo 'tools: getting promtool from Debian'"'"'s package prometheus'
  folder=$(mktemp -d)
  { [ "$(id -u)" != 0 ] || apt-get -qq update || true; } >/dev/null 2>&1
  if (cd "$folder" && apt-get -qq download prometheus && dpkg-deb -x prometheus_*.deb .) 2>/dev/null; then
    cp "$folder/usr/bin/promtool" "$bin/promtool"
  else
    echo 'tools: promtool is unavailable; the tests that need it are skipped'
  fi
  rm -rf "$folder"
else
  echo 'tools: promtool is unavailable; the tests that need it are skipped'
fi
