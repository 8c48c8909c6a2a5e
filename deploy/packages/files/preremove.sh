#!/bin/sh
# Stops the server when the package is removed, not when it is upgraded: the first argument is "upgrade" for dpkg, and 1
# for rpm.
set -e
case "${1:-remove}" in
upgrade | deconfigure | failed-upgrade | 1) exit 0 ;;
esac
if [ -d /run/systemd/system ]; then
	systemctl disable --now meridian.service meridian-agent.service meridian-etcd.service || true
elif command -v rc-service >/dev/null && rc-service meridian status >/dev/null 2>&1; then
	rc-service meridian stop || true
fi
