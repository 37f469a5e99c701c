#!/usr/bin/env bash
# Compiles dsr.c into the directory given, or here: for tcx and XDP, for either byte order. Needs clang and llvm-strip,
# version 14; others make other bytes of the same meaning.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here}
for order in el eb; do
	for kind in tc xdp; do
		macro=()
		[ $kind = xdp ] && macro=(-DXDP)
		(cd "$here" && clang -O2 -g -mcpu=v3 -Wall -Wextra -Werror -fno-ident -ffile-prefix-map="$here"=. -target bpf$order \
			"${macro[@]}" -c dsr.c -o "$out/${kind}_bpf$order.o")
		llvm-strip -g "$out/${kind}_bpf$order.o"
	done
done
