#!/usr/bin/env bash
# Installs what tests and checkers need beside Go, from Debian, and only what is missing. Without root it says what is
# missing and lets them go on with what is there; with PEN_TEST_MUST=1 it fails instead.
set -euo pipefail

# program:package
needed=(
	gcc:gcc
	pen:pen
	haproxy:haproxy
	nginx:nginx
	curl:curl
	wrk:wrk
	openssl:openssl
	ip:iproute2
	nsenter:util-linux
	iptables:iptables
	nft:nftables
	ethtool:ethtool
	dig:dnsutils
	dnsperf:dnsperf
	nmap:nmap
	nsd:nsd
	python3:python3
	shellcheck:shellcheck
	mandoc:mandoc
)

PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
packages=()
for pair in "${needed[@]}"; do
	command -v "${pair%:*}" >/dev/null || packages+=("${pair#*:}")
done
# gcc alone does not bring the headers that the race detector's runtime is compiled with.
if [ ! -e /usr/include/stdlib.h ]; then
	packages+=(libc6-dev)
fi
# nginx as a balancer of TCP, which bench measures, is a module.
if [ ! -e /usr/lib/nginx/modules/ngx_stream_module.so ]; then
	packages+=(libnginx-mod-stream)
fi
# The compiler that made the committed programs for the kernel, to compare them with; only Debian 12 has this release.
if ! { command -v clang && command -v llvm-strip; } >/dev/null && grep -qs '^VERSION_ID="12"' /etc/os-release; then
	packages+=(clang llvm)
fi
if [ ${#packages[@]} -eq 0 ]; then
	exit 0
fi

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
	echo "deps: not installed: ${packages[*]}" >&2
	if [ "${PEN_TEST_MUST:-}" = 1 ]; then
		exit 1
	fi
	echo "deps: going on without; tests that need them are skipped" >&2
	exit 0
fi

# A package must not start its daemon on a machine that merely runs our tests: policy-rc.d says no (exit 101) meanwhile.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	trap 'rm -f "$policy"' EXIT
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
fi

echo "deps: installing ${packages[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${packages[@]}"
