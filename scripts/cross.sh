#!/usr/bin/env bash
# Compiles and vets every package for every system that pen is written for. Nothing is run.
set -euo pipefail
cd "$(dirname "$0")/.."
export CGO_ENABLED=0

targets=(
	linux/amd64 linux/arm64 linux/386 linux/riscv64 linux/s390x
	freebsd/amd64 openbsd/amd64 netbsd/amd64 dragonfly/amd64
	darwin/amd64 darwin/arm64
	solaris/amd64 illumos/amd64
	windows/amd64
)

failed=()
for target in "${targets[@]}"; do
	echo "cross: $target"
	export GOOS=${target%/*} GOARCH=${target#*/}
	if ! go build ./... || ! go vet ./...; then
		failed+=("$target")
	fi
done

if [ ${#failed[@]} -gt 0 ]; then
	echo "cross: failed on ${failed[*]}" >&2
	exit 1
fi
echo "cross: ${#targets[@]} targets compile and pass vet"
