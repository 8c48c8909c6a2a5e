#!/bin/sh
# Restarts a running server or agent after an upgrade. Without a configuration nothing is started.
set -e
config=/etc/meridian/meridian.yaml
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload || true
	systemctl try-restart meridian.service meridian-agent.service || true
fi
if ! grep -q '^[^#]' "$config" 2>/dev/null; then
	cat <<-END
	meridian is installed and not started: it has no configuration yet. Next:
	  meridian init -o $config
	  meridian check -c $config
	END
	if [ -d /run/systemd/system ]; then
		echo "  systemctl enable --now meridian"
	elif command -v rc-service >/dev/null; then
		echo "  rc-update add meridian && rc-service meridian start"
	else
		echo "  meridian serve -c $config"
	fi
fi
