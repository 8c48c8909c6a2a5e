package config

import "testing"

func TestChecksOverTLSAreSecure(t *testing.T) {
	cfg := parse(t, `
checks:
  http: {type: http}
  https: {type: https}
  tls: {type: tls}
  tcp: {type: tcp, port: 1}
  plain: {type: grpc, port: 1}
  secure: {type: grpc, port: 1, tls: {}}
  merged: {<<: {tls: {insecure: true}}, type: grpc, port: 1, service: shop.Cart}
`)
	want := map[string]bool{"https": true, "tls": true, "secure": true, "merged": true}
	for _, c := range cfg.Checks {
		if c.Secure != want[c.Name] {
			t.Errorf("%s: secure %v", c.Name, c.Secure)
		}
	}
	if merged := cfg.Checks[6]; !merged.TLS.Insecure || merged.Service != "shop.Cart" {
		t.Errorf("merged %+v", merged)
	}
}
