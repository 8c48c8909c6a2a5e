#!/bin/sh
# Creates the user that the service runs as, and that reads files such as tokens.
set -e
if ! getent group meridian >/dev/null 2>&1; then
	groupadd --system meridian 2>/dev/null || addgroup -S meridian
fi
if ! getent passwd meridian >/dev/null 2>&1; then
	useradd --system --gid meridian --home-dir /var/lib/meridian --no-create-home \
		--shell /usr/sbin/nologin --comment "Meridian DNS server" meridian 2>/dev/null ||
		adduser -S -D -H -h /var/lib/meridian -s /sbin/nologin -G meridian -g "Meridian DNS server" meridian
fi
