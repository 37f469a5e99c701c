#!/usr/bin/env bash
# scripts/gotest.sh PACKAGE...: go test -race, one line per package, all of the output of a package that fails, and
# every skipped test by name. With PEN_TEST_MUST=1 a skipped test is a failure.
set -euo pipefail
cd "$(dirname "$0")/.."

# The race detector is the one thing here that needs a C compiler.
race=(-race)
if ! command -v "$(CGO_ENABLED=1 go env CC)" >/dev/null; then
	if [ "${PEN_TEST_MUST:-}" = 1 ]; then
		echo "gotest: no C compiler, which the race detector needs" >&2
		exit 1
	fi
	echo "gotest: no C compiler: running without the race detector" >&2
	race=()
	export CGO_ENABLED=0
else
	export CGO_ENABLED=1
fi

go test "${race[@]}" -v -timeout 15m "$@" 2>&1 | awk -v must="${PEN_TEST_MUST:-}" '
	{ output = output $0 "\n" }
	/^ *--- SKIP: / { skips = skips $0 "\n"; skipped++ }
	/^(ok|\?) *\t/  { printf "%s%s\n", skips, $0; fflush(); output = skips = "" }
	/^FAIL\t/       { printf "%s", output; fflush(); output = skips = "" }
	END {
		printf "%s", output
		if (skipped) printf "gotest: %d skipped%s\n", skipped, must == 1 ? ", and PEN_TEST_MUST=1 allows none" : ""
		exit skipped && must == 1
	}'
