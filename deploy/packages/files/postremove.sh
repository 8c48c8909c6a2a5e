#!/bin/sh
# Removes the state when dpkg purges the package. The user stays: it may own other files.
set -e
if [ "${1:-}" = purge ]; then
	rm -rf /var/lib/meridian
fi
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload || true
fi
