#!/bin/sh
# Regenerates the outlines of the countries from the newest free data. Needs npm
# and Go; run by `go generate ./plan`.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
for package in world-atlas i18n-iso-countries; do
	mkdir -p "$package"
	tar -xzf "$(npm pack --silent "$package")" -C "$package"
done
cd "$here"
go run ./gen -o countries.tsv \
	-atlas "$work/world-atlas/package/countries-110m.json" \
	-codes "$work/i18n-iso-countries/package/codes.json"
