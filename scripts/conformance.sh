#!/usr/bin/env bash
# scripts/conformance.sh SUITE ENGINE...: runs the black-box suite in the folder SUITE against bin/, once per engine,
# and once with two threads. Fails if any test fails.
set -euo pipefail
cd "$(dirname "$0")/.."
suite=${1:?folder of the suite}
shift
engines=("$@")

# What is run.
areas=(
	test_tcp
	test_select
	test_limits
	test_acl
	test_robust
	test_cli
	test_penctl
	test_tls
	test_udp
	test_log
	test_http
	test_netns
)

die() {
	echo "conformance: $*" >&2
	exit 1
}

[ -f "$suite/pentest.py" ] || die "no suite in $suite; say where it is: make conformance CONFORMANCE=folder"
[ -x bin/pen ] || die "no bin/pen; run make build"
[ ${#engines[@]} -gt 0 ] || die "no engine named"

# An area of the suite that is not in the list would go unnoticed.
for file in "$suite"/test_*.py; do
	name=$(basename "$file" .py)
	case " ${areas[*]} " in
	*" $name "*) ;;
	*) die "$name is in the suite but not in the list of scripts/conformance.sh" ;;
	esac
done

bin=$PWD/bin
# Unix sockets live in TMPDIR, and their paths must be short.
tmp=$(env -u TMPDIR mktemp -d)
trap 'rm -rf "$tmp"' EXIT
chmod 755 "$tmp"

failed=()
summary=()

# run NAME PEN_ARGS
run() {
	local log="$tmp/log" status=0
	echo "conformance: $1: ${areas[*]}"
	(
		cd "$suite"
		export PEN_BEYOND=1 PEN_BIN_DIR="$bin" PEN_ARGS="$2" TMPDIR="$tmp" PYTHONDONTWRITEBYTECODE=1
		exec python3 -m unittest -v "${areas[@]}"
	) >"$log" 2>&1 || status=$?

	if [ "$status" -ne 0 ]; then
		grep -vE '\.\.\. ok$' "$log"
		failed+=("$1")
	else
		grep -E '\.\.\. skipped' "$log" || true
	fi
	local last
	last=$(tail -n 1 "$log")
	summary+=("$1: $last")
	echo "conformance: $1: $last"
}

for engine in "${engines[@]}"; do
	run "engine $engine" "-O 'engine $engine'"
done
run "2 threads" "-O 'threads 2'"

echo "conformance: results:"
printf '  %s\n' "${summary[@]}"
[ ${#failed[@]} -eq 0 ] || die "failed in: ${failed[*]}"
echo "conformance: passed"
