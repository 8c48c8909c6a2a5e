package daemon

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/certs/certstest"
	"meridian/counterpart"
	"meridian/transfer/secondary"
)

// encryptedPrimary is named with example.com at port %[1]d, only for transfers over TLS at port %[3]d with a certificate that ns2.pem
// has signed. %[2]s is the directory.
const encryptedPrimary = `options { directory "%[2]s"; listen-on port %[1]d { 127.0.0.1; }; listen-on port %[3]d tls server { 127.0.0.1; }; listen-on-v6 { none; }; pid-file none; session-keyfile none; };
controls { };
tls server { cert-file "ns1.example.pem"; key-file "ns1.example.key"; ca-file "ns2.example.pem"; protocols { TLSv1.3; }; };
zone "example.com" { type primary; file "zone"; allow-transfer port %[3]d transport tls { 127.0.0.1; }; };
`

// TestZoneComesOverTLS takes a zone from another name server that asks for a certificate. Without one, the transfer fails.
func TestZoneComesOverTLS(t *testing.T) {
	counterpart.Find(t, "named")
	dir, ports := t.TempDir(), counterpart.FreePorts(t, 3)
	certstest.Write(t, dir, time.Now(), "ns1.example")
	certstest.Write(t, dir, time.Now(), "ns2.example")
	writeFile(t, dir, "key", copySecret)
	writeFile(t, dir, "zone", "$ORIGIN example.com.\n"+copyZone(1, "192.0.2.2"))
	counterpart.StartWith(t, "named", fmt.Sprintf(encryptedPrimary, ports[0], dir, ports[1]), "-g", "-u", "root", "-c")
	counterpart.AwaitListeners(t, ports[1])
	text := func(tls string) string {
		conf := fmt.Sprintf(copyingConfig, ports[2], dir, ports[1])
		conf = strings.Replace(conf, "tsig: {xfr: {secret_file: "+dir+"/key}}\n", "", 1)
		return strings.Replace(conf, "key: xfr}]", fmt.Sprintf("tls: {ca: %s/ns1.example.pem, name: ns1.example%s}}]", dir, tls), 1)
	}
	to := start(t, text(""))
	if _, err := to.RefreshZone(t.Context(), "example.com.", secondary.How{}); err == nil { // the primary closes the connection
		t.Error("the primary wants no certificate")
	}
	to.reload(text(fmt.Sprintf(", cert: %[1]s/ns2.example.pem, key: %[1]s/ns2.example.key", dir)))
	awaitCopied(t, ports[2], "host.example.com.", dns.TypeA, "NOERROR 192.0.2.2")
}
