package discovery

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func TestSystemServers(t *testing.T) {
	const local = "[127.0.0.1:53 [::1]:53]"
	for text, want := range map[string]string{
		"search example.com\nnameserver 192.0.2.53\n# nameserver 192.0.2.99\nnameserver 2001:db8::53\noptions ndots:5\n": "[192.0.2.53:53 [2001:db8::53]:53]",
		"nameserver fe80::1%eth0\n": "[[fe80::1%eth0]:53]",
		"nameserver resolver\n":     local,
		"":                          local,
		"\x00\xff":                  local,
	} {
		file := filepath.Join(t.TempDir(), "resolv.conf")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		expect(t, fmt.Sprintf("%q", text), fmt.Sprint(System(file)), want)
	}
	expect(t, "no file", fmt.Sprint(System("none")), local)
}
