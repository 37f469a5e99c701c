#!/usr/bin/env bash
# Fails and names the files that gofmt would change.
set -euo pipefail
cd "$(dirname "$0")/.."

bad=$(gofmt -l .)
if [ -n "$bad" ]; then
	printf 'gofmt would change:\n%s\n' "$bad" >&2
	exit 1
fi
