#!/bin/sh
# pen-ocsp.sh [-c control] directory domain...: fetches an OCSP response for the certificate of each domain. For cron.
#
# The directory is that of pen's ssl_sni_path: it has domain.crt and domain.ca, and gets domain.ocsp. With -c, the
# address of pen's control socket, pen reads the response of the first domain, that of its default certificate, at
# once; it reads the others by itself. A response that is not good never replaces one that was.
set -eu

usage() {
	echo 'usage: pen-ocsp.sh [-c control] directory domain...' >&2
	exit 2
}

control=
while getopts c: option; do
	case $option in
	c) control=$OPTARG ;;
	*) usage ;;
	esac
done
shift $((OPTIND - 1))
[ $# -ge 2 ] || usage
cd "$1"
directory=$(pwd)
shift

# fetch domain: leaves its response in domain.ocsp.
fetch() {
	url=$(openssl x509 -in "$1.crt" -noout -ocsp_uri) || return 1
	if [ -z "$url" ]; then
		echo "pen-ocsp.sh: $1.crt names no OCSP responder" >&2
		return 1
	fi
	said=$(openssl ocsp -issuer "$1.ca" -cert "$1.crt" -url "$url" -verify_other "$1.ca" -trust_other -no_nonce \
		-respout "$1.ocsp.tmp" 2>&1) || said=
	case $said in
	*"Response verify OK"*"$1.crt: good"*)
		mv "$1.ocsp.tmp" "$1.ocsp"
		return 0
		;;
	esac
	rm -f "$1.ocsp.tmp"
	echo "pen-ocsp.sh: no good response for $1 from $url" >&2
	return 1
}

status=0
first=$1
for domain in "$@"; do
	fetch "$domain" || status=1
done
if [ -n "$control" ] && [ -f "$first.ocsp" ]; then
	penctl "$control" ssl_ocsp_response "$directory/$first.ocsp" || status=1
fi
exit $status
