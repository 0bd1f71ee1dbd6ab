#!/usr/bin/env bash
# Puts Helm and promtool into .tools/bin, for the tests that want them. Where one cannot be had this says so and goes on:
# those tests are skipped then, with a line that says what is missing.
set -uo pipefail
cd "$(dirname "$0")/.."
bin="$PWD/.tools/bin"
mkdir -p "$bin"

# The version stands where the tests look for it.
helm=$(sed -nE "s/.*helmVersion = '(v[0-9.]+)'.*/\1/p" test/chart/helm.ts)
if command -v helm >/dev/null && helm version --short 2>/dev/null | grep -q '^v4'; then
  echo "tools: $(command -v helm)"
elif [ -x "$bin/helm" ] && "$bin/helm" version --short | grep -q "^$helm"; then
  echo "tools: .tools/bin/helm $helm"
elif command -v go >/dev/null; then
  echo "tools: go install helm.sh/helm/v4/cmd/helm@$helm"
  GOBIN="$bin" go install "helm.sh/helm/v4/cmd/helm@$helm" || echo "tools: no Helm: the chart's tests are skipped"
else
  echo 'tools: no Helm 4 and no Go to build it: the tests of the chart are skipped'
fi

if command -v promtool >/dev/null || [ -x "$bin/promtool" ]; then
  echo 'tools: promtool is here'
elif command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null; then
  echo 'tools: promtool, out of Debian'"'"'s package prometheus'
  folder=$(mktemp -d)
  { [ "$(id -u)" != 0 ] || apt-get -qq update || true; } >/dev/null 2>&1
  if (cd "$folder" && apt-get -qq download prometheus && dpkg-deb -x prometheus_*.deb .) 2>/dev/null; then
    cp "$folder/usr/bin/promtool" "$bin/promtool"
  else
    echo 'tools: no promtool: the tests that run it are skipped'
  fi
  rm -rf "$folder"
else
  echo 'tools: no promtool: the tests that run it are skipped'
fi
