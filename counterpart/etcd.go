package counterpart

import (
	"fmt"
	"testing"
)

// StartEtcd starts an etcd server of one member, with its data in dir, for clients at the first of two ports of 127.0.0.1,
// and waits until it accepts connections. Started again with the same arguments, it continues with its data.
func StartEtcd(t testing.TB, dir string, ports []int) (stop func()) {
	t.Helper()
	client, peer := fmt.Sprintf("http://127.0.0.1:%d", ports[0]), fmt.Sprintf("http://127.0.0.1:%d", ports[1])
	stop = Start(t, "etcd", "--data-dir", dir, "--listen-client-urls", client, "--advertise-client-urls", client,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default="+peer)
	AwaitListeners(t, ports[0])
	return stop
}
