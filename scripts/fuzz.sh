#!/usr/bin/env bash
# scripts/fuzz.sh TIME: runs every fuzz test of the module for TIME, one after the other.
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:?time, such as 30s}

for package in $(go list ./...); do
	for name in $(go test -list '^Fuzz' "$package" | grep '^Fuzz' || true); do
		echo "fuzz: $package $name"
		go test -run '^$' -fuzz "^$name\$" -fuzztime "$time" "$package"
	done
done
