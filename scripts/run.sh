#!/bin/sh
# Runs a file of this clone with the pinned Node: scripts/run.sh [NODE-OPTION…] FILE [ARGUMENT…]
# First installs the packages in package-lock.json that are missing. The npm scripts call this, and not a "pre" script,
# which npm leaves out where its setting ignore-scripts is true.
set -eu
root=$(CDPATH='' cd "$(dirname "$0")/.." && pwd -P)
if ! command -v node >/dev/null; then
  echo 'setup: node is missing; install Node.js 20 or newer, which includes npm' >&2
  exit 1
fi
node "$root/scripts/setup.mjs"
PATH="$root/node_modules/.bin:$PATH"
export PATH
exec node "$@"
