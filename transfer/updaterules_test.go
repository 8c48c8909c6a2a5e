package transfer

import (
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/transfer/journal"
	"meridian/zones"
)

// updatedNames is a zone with a name of each kind that updates treat in its own way.
const updatedNames = `
pools: {p: {policy: all, members: [{name: a, addresses: [192.0.2.9]}]}}
zones:
  example.com:
    nameservers: {ns.example.com: [192.0.2.53], ns.example.net.: []}
    contact: host@example.com
    names: {pool: {pool: p}, deep.sub: {pool: p}}
  child.example.com:
    nameservers: {ns.example.net.: []}
    contact: host@example.com
`

// evaluated returns the outcome of an update of a zone with a pool and a child zone.
func evaluated(t *testing.T, rules []config.UpdateRule, edit func(*dns.Msg)) *Update {
	t.Helper()
	cfg, data, _ := compiled(t, updatedNames)
	cfg.Zones[0].Update = rules
	msg := new(dns.Msg).SetUpdate("example.com.")
	edit(msg)
	packet, err := msg.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return NewEvaluator(cfg, data, 0, journal.State{}).Evaluate(&UpdateRequest{Packet: packet, Key: "acme.", At: time.Unix(1, 0)})
}

var anyName = []config.UpdateRule{{Key: "acme.", Names: []string{"*", "@"}}}

// plainRecord is a record of a class and type, whose data is octets.
func plainRecord(name string, class, typ uint16, ttl uint32, data string) dns.RR {
	return &dns.RFC3597{Hdr: dns.RR_Header{Name: name, Class: class, Rrtype: typ, Ttl: ttl}, Rdata: data}
}

// TestUpdatesThatAreRefused is the table of RFC 2136 2.5, 3.3 and 3.4.1, and of what updates may not change here.
func TestUpdatesThatAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change dns.RR
		rcode  int
		why    string
	}{
		"outside the zone":          {rr(t, "www.example.net. 60 IN A 192.0.2.1"), dns.RcodeNotZone, "www.example.net. is not in the zone"},
		"a name that ends the same": {rr(t, "wwwexample.com. 60 IN A 192.0.2.1"), dns.RcodeNotZone, "wwwexample.com. is not in the zone"},
		"above the zone":            {rr(t, "com. 60 IN A 192.0.2.1"), dns.RcodeNotZone, "com. is not in the zone"},
		"in a child zone":           {rr(t, "www.child.example.com. 60 IN A 192.0.2.1"), dns.RcodeRefused, "www.child.example.com. is in another zone of this server"},
		"a balanced name":           {rr(t, "pool.example.com. 60 IN A 192.0.2.1"), dns.RcodeRefused, "pool.example.com. is bound to a pool or whoami"},
		"in capitals":               {rr(t, "POOL.example.COM. 60 IN TXT a"), dns.RcodeRefused, "POOL.example.COM. is bound to a pool or whoami"},
		"a delegation of a pool":    {rr(t, "sub.example.com. 60 IN NS ns.example.net."), dns.RcodeRefused, "a delegation would hide balanced names or another zone"},
		"DNAME":                     {rr(t, "x.example.com. 60 IN DNAME example.net."), dns.RcodeRefused, "DNAME records are only changed in the file"},
		"NSEC":                      {rr(t, "x.example.com. 60 IN NSEC y.example.com. A"), dns.RcodeRefused, "NSEC records are made by signing"},
		"RRSIG":                     {rr(t, "x.example.com. 60 IN RRSIG A 8 2 60 20300101000000 20200101000000 1 example.com. AAAA"), dns.RcodeRefused, "RRSIG records are made by signing"},
		"a TTL of 32 bits":          {rr(t, "x.example.com. 2147483648 IN A 192.0.2.1"), dns.RcodeFormatError, "a change that is not well-formed"},
		"add ANY":                   {plainRecord("x.example.com.", dns.ClassINET, dns.TypeANY, 60, "00"), dns.RcodeFormatError, "the message does not parse"},
		"add TSIG":                  {plainRecord("x.example.com.", dns.ClassINET, 250, 60, "00"), dns.RcodeFormatError, "a change that is not well-formed"},
		"add without data":          {plainRecord("x.example.com.", dns.ClassINET, dns.TypeA, 60, ""), dns.RcodeFormatError, "a change that is not well-formed"},
		"delete a set with a TTL":   {plainRecord("x.example.com.", dns.ClassANY, dns.TypeA, 1, ""), dns.RcodeFormatError, "a change that is not well-formed"},
		"delete a set with data":    {plainRecord("x.example.com.", dns.ClassANY, dns.TypeA, 0, "c0000201"), dns.RcodeFormatError, "a change that is not well-formed"},
		"delete AXFR":               {plainRecord("x.example.com.", dns.ClassANY, dns.TypeAXFR, 0, ""), dns.RcodeFormatError, "a change that is not well-formed"},
		"delete a record with TTL":  {plainRecord("x.example.com.", dns.ClassNONE, dns.TypeA, 1, "c0000201"), dns.RcodeFormatError, "a change that is not well-formed"},
		"delete a record without":   {plainRecord("x.example.com.", dns.ClassNONE, dns.TypeA, 0, ""), dns.RcodeFormatError, "a change that is not well-formed"},
		"another class":             {plainRecord("x.example.com.", dns.ClassCHAOS, dns.TypeA, 0, "c0000201"), dns.RcodeFormatError, "a change that is not well-formed"},
	} {
		u := evaluated(t, anyName, func(m *dns.Msg) { m.Ns = []dns.RR{rr(t, "ok.example.com. 60 IN A 192.0.2.1"), c.change} })
		if u.Rcode != c.rcode || u.Reason != c.why || u.Change != nil || u.Sets != nil {
			t.Errorf("%s: %s, %q, want %s, %q", name, dns.RcodeToString[u.Rcode], u.Reason, dns.RcodeToString[c.rcode], c.why)
		}
	}
}

// TestKeysChangeOnlyTheirNamesAndTypes also deletes: a key for TXT must not delete the whole name.
func TestKeysChangeOnlyTheirNamesAndTypes(t *testing.T) {
	rules := []config.UpdateRule{
		{Key: "other.", Names: []string{"*"}},
		{Key: "acme.", Names: []string{"_acme.*"}, Types: []uint16{dns.TypeTXT}},
		{Key: "acme.", Names: []string{"@"}, Types: []uint16{dns.TypeMX}},
	}
	for text, want := range map[string]string{
		"_acme.www.example.com. 60 IN TXT x":      "",
		"_ACME.www.EXAMPLE.com. 60 IN TXT x":      "",
		"_acme.example.com. 60 IN TXT x":          "the key may not change TXT of _acme.example.com.",
		"_acme.www.example.com. 60 IN A 1.2.3.4":  "the key may not change A of _acme.www.example.com.",
		"x_acme.www.example.com. 60 IN TXT x":     "the key may not change TXT of x_acme.www.example.com.",
		"www._acme.www.example.com. 60 IN TXT x":  "the key may not change TXT of www._acme.www.example.com.",
		"example.com. 60 IN MX 1 mx.example.net.": "",
		"example.com. 60 IN TXT x":                "the key may not change TXT of example.com.",
	} {
		if u := evaluated(t, rules, func(m *dns.Msg) { m.Insert([]dns.RR{rr(t, text)}) }); u.Reason != want || (u.Rcode == dns.RcodeRefused) != (want != "") {
			t.Errorf("%s: %q, want %q", text, u.Reason, want)
		}
	}
	u := evaluated(t, rules, func(m *dns.Msg) { m.RemoveName([]dns.RR{rr(t, "_acme.www.example.com. 60 IN TXT x")}) })
	if u.Rcode != dns.RcodeRefused || u.Reason != "the key may not change ANY of _acme.www.example.com." {
		t.Errorf("deleting a name: %+v", u)
	}
}

// TestZoneKeepsItsOrigin deletes and changes the SOA and NS of the zone (RFC 2136 3.4.2.3, 3.4.2.4).
func TestZoneKeepsItsOrigin(t *testing.T) {
	const apex, next = "example.com.", 1
	present := func(name string) dns.RR { return rr(t, apex+" 0 IN NS "+name) }
	serial := evaluated(t, anyName, func(m *dns.Msg) { m.Insert([]dns.RR{rr(t, "a.example.com. 60 IN A 192.0.2.1")}) }).Change.From()
	soa := func(serial uint32) dns.RR {
		return rr(t, fmt.Sprintf("%s 60 IN SOA ns.example.com. host.example.com. %d 1 2 3 4", apex, serial))
	}
	for name, c := range map[string]struct {
		edit           func(*dns.Msg)
		deleted, added int
		serial         uint32 // next: the one after; 0: nothing changes
	}{
		"all sets":      {func(m *dns.Msg) { m.RemoveName([]dns.RR{soa(1)}) }, 0, 0, 0},
		"the NS set":    {func(m *dns.Msg) { m.RemoveRRset([]dns.RR{present("ns.example.com.")}) }, 0, 0, 0},
		"the SOA":       {func(m *dns.Msg) { m.Remove([]dns.RR{soa(serial)}) }, 0, 0, 0},
		"one of two NS": {func(m *dns.Msg) { m.Remove([]dns.RR{present("NS.example.com.")}) }, 1, 0, next},
		"both NS":       {func(m *dns.Msg) { m.Remove([]dns.RR{present("ns.example.com."), present("ns.example.net.")}) }, 1, 0, next},
		"an older SOA":  {func(m *dns.Msg) { m.Insert([]dns.RR{soa(serial - 1)}) }, 0, 0, 0},
		"the same SOA":  {func(m *dns.Msg) { m.Insert([]dns.RR{soa(serial)}) }, 0, 0, 0},
		"a newer SOA":   {func(m *dns.Msg) { m.Insert([]dns.RR{soa(serial + 100)}) }, 0, 0, serial + 100},
		"a SOA elsewhere": {func(m *dns.Msg) {
			m.Insert([]dns.RR{rr(t, "x.example.com. 60 IN SOA ns.example.com. host.example.com. 4000000000 1 2 3 4")})
		}, 0, 0, 0},
		"a third NS": {func(m *dns.Msg) { m.Insert([]dns.RR{present("ns3.example.net.")}) }, 2, 3, next}, // with its TTL of 0
	} {
		u := evaluated(t, anyName, c.edit) // of a zone with the present time as its serial
		if c.serial == next && u.Change != nil {
			c.serial = u.Change.From() + 1
		}
		switch {
		case u.Rcode != dns.RcodeSuccess:
			t.Errorf("%s: %+v", name, u)
		case (u.Change != nil) != (c.serial != 0):
			t.Errorf("%s: change %+v", name, u.Change)
		case u.Change != nil && (len(u.Change.Deleted) != c.deleted || len(u.Change.Added) != c.added || u.Change.To() != c.serial):
			t.Errorf("%s: deleted %v, added %v, serial %d; want %d, %d, %d", name, u.Change.Deleted, u.Change.Added, u.Change.To(), c.deleted, c.added, c.serial)
		}
	}
}

// TestPrerequisites is the table of RFC 2136 3.2, with names that a pool answers for.
func TestPrerequisites(t *testing.T) {
	of := func(class, typ uint16, name, data string) dns.RR {
		return plainRecord(name+"example.com.", class, typ, 0, data)
	}
	ttl := of(dns.ClassANY, dns.TypeA, "ns.", "")
	ttl.Header().Ttl = 1
	for name, c := range map[string]struct {
		rrs   []dns.RR
		rcode int
	}{
		"name in use":                      {[]dns.RR{of(dns.ClassANY, dns.TypeANY, "ns.", "")}, dns.RcodeSuccess},
		"name not in use":                  {[]dns.RR{of(dns.ClassANY, dns.TypeANY, "no.", "")}, dns.RcodeNameError},
		"an empty name is not in use":      {[]dns.RR{of(dns.ClassANY, dns.TypeANY, "sub.", "")}, dns.RcodeNameError},
		"a balanced name is in use":        {[]dns.RR{of(dns.ClassANY, dns.TypeANY, "pool.", "")}, dns.RcodeSuccess},
		"no name, in use":                  {[]dns.RR{of(dns.ClassNONE, dns.TypeANY, "ns.", "")}, dns.RcodeYXDomain},
		"no name, balanced":                {[]dns.RR{of(dns.ClassNONE, dns.TypeANY, "pool.", "")}, dns.RcodeYXDomain},
		"no name":                          {[]dns.RR{of(dns.ClassNONE, dns.TypeANY, "no.", "")}, dns.RcodeSuccess},
		"set exists":                       {[]dns.RR{of(dns.ClassANY, dns.TypeA, "ns.", "")}, dns.RcodeSuccess},
		"set does not exist":               {[]dns.RR{of(dns.ClassANY, dns.TypeAAAA, "ns.", "")}, dns.RcodeNXRrset},
		"addresses of a pool":              {[]dns.RR{of(dns.ClassANY, dns.TypeAAAA, "pool.", "")}, dns.RcodeSuccess},
		"texts of a pool":                  {[]dns.RR{of(dns.ClassANY, dns.TypeTXT, "pool.", "")}, dns.RcodeNXRrset},
		"no set, and there is one":         {[]dns.RR{of(dns.ClassNONE, dns.TypeA, "ns.", "")}, dns.RcodeYXRrset},
		"no set":                           {[]dns.RR{of(dns.ClassNONE, dns.TypeTXT, "ns.", "")}, dns.RcodeSuccess},
		"equal set":                        {[]dns.RR{of(dns.ClassINET, dns.TypeA, "ns.", "c0000235")}, dns.RcodeSuccess},
		"equal set, twice":                 {[]dns.RR{of(dns.ClassINET, dns.TypeA, "ns.", "c0000235"), of(dns.ClassINET, dns.TypeA, "ns.", "c0000235")}, dns.RcodeSuccess},
		"another record":                   {[]dns.RR{of(dns.ClassINET, dns.TypeA, "ns.", "c0000236")}, dns.RcodeNXRrset},
		"one record more":                  {[]dns.RR{of(dns.ClassINET, dns.TypeA, "ns.", "c0000235"), of(dns.ClassINET, dns.TypeA, "ns.", "c0000236")}, dns.RcodeNXRrset},
		"one of two":                       {[]dns.RR{rr(t, "example.com. 0 IN NS ns.example.com.")}, dns.RcodeNXRrset},
		"both, in another order and case":  {[]dns.RR{rr(t, "example.com. 0 IN NS NS.example.NET."), rr(t, "EXAMPLE.com. 0 IN NS ns.example.com.")}, dns.RcodeSuccess},
		"outside":                          {[]dns.RR{plainRecord("example.net.", dns.ClassANY, dns.TypeANY, 0, "")}, dns.RcodeNotZone},
		"with a TTL":                       {[]dns.RR{ttl}, dns.RcodeFormatError},
		"with data":                        {[]dns.RR{of(dns.ClassANY, dns.TypeA, "ns.", "c0000235")}, dns.RcodeFormatError},
		"NONE with data":                   {[]dns.RR{of(dns.ClassNONE, dns.TypeA, "ns.", "c0000235")}, dns.RcodeFormatError},
		"without data":                     {[]dns.RR{of(dns.ClassINET, dns.TypeA, "ns.", "")}, dns.RcodeFormatError},
		"type of no data":                  {[]dns.RR{of(dns.ClassANY, dns.TypeAXFR, "ns.", "")}, dns.RcodeFormatError},
		"equal set of a type of no data":   {[]dns.RR{of(dns.ClassINET, dns.TypeANY, "ns.", "00")}, dns.RcodeFormatError},
		"another class":                    {[]dns.RR{of(dns.ClassCHAOS, dns.TypeA, "ns.", "")}, dns.RcodeFormatError},
		"the first that is not met counts": {[]dns.RR{of(dns.ClassANY, dns.TypeANY, "no.", ""), of(dns.ClassNONE, dns.TypeANY, "ns.", "")}, dns.RcodeNameError},
	} {
		u := evaluated(t, anyName, func(m *dns.Msg) { m.Answer, m.Ns = c.rrs, []dns.RR{rr(t, "new.example.com. 60 IN A 192.0.2.1")} })
		if u.Rcode != c.rcode || (u.Change != nil) != (c.rcode == dns.RcodeSuccess) || (u.Reason == "") != (c.rcode == dns.RcodeSuccess) {
			t.Errorf("%s: %s, %q, want %s", name, dns.RcodeToString[u.Rcode], u.Reason, dns.RcodeToString[c.rcode])
		}
	}
}

// TestSizesOfUpdatesAreBounded adds records and types up to the limits, and one more.
func TestSizesOfUpdatesAreBounded(t *testing.T) {
	texts := func(n int) (all []dns.RR) {
		for i := range n {
			all = append(all, rr(t, fmt.Sprintf("x.example.com. 60 IN TXT %d", i)))
		}
		return all
	}
	types := func(n int) (all []dns.RR) {
		for i := range n {
			all = append(all, plainRecord("x.example.com.", dns.ClassINET, uint16(1000+i), 60, "00"))
		}
		return all
	}
	for name, c := range map[string]struct {
		rrs []dns.RR
		why string
	}{
		"100 records": {texts(zones.MaxInSet), ""},
		"101 records": {texts(zones.MaxInSet + 1), "x.example.com. would have more than 100 records of a type"},
		"100 types":   {types(maxTypes), ""},
		"101 types":   {types(maxTypes + 1), "x.example.com. would have more than 100 types"},
	} {
		u := evaluated(t, anyName, func(m *dns.Msg) { m.Insert(c.rrs) })
		if u.Reason != c.why || (u.Change == nil) != (c.why != "") || c.why != "" && u.Rcode != dns.RcodeRefused {
			t.Errorf("%s: %s, %q, want %q", name, dns.RcodeToString[u.Rcode], u.Reason, c.why)
		}
	}
	cfg, data, _ := compiled(t, updatedNames)
	cfg.Zones[0].Update = anyName
	msg := new(dns.Msg).SetUpdate("example.com.")
	msg.Insert(texts(2))
	packet, err := msg.Pack()
	if err != nil {
		t.Fatal(err)
	}
	for state, allowed := range map[journal.State]bool{{Added: maxOverlay - 2}: true, {Added: maxOverlay - 1}: false, {Added: 50_000, Deleted: 49_999}: false} {
		u := NewEvaluator(cfg, data, 0, state).Evaluate(&UpdateRequest{Packet: packet, Key: "acme.", At: time.Unix(1, 0)})
		if (u.Change != nil) != allowed || !allowed && u.Reason != "updates have changed more than 100000 records of the zone" {
			t.Errorf("%d added, %d deleted: %+v", state.Added, state.Deleted, u)
		}
	}
	if u := NewEvaluator(cfg, data, 0, journal.State{}).Evaluate(&UpdateRequest{Packet: packet[:len(packet)-1], Key: "acme."}); u.Rcode != dns.RcodeFormatError || u.Reason != "the message does not parse" {
		t.Errorf("a cut message: %+v", u)
	}
}

func TestNamesAreRelativeAsOperatorsWriteThem(t *testing.T) {
	for _, c := range [][3]string{
		{"example.com.", "example.com.", "@"},
		{"www.example.com.", "example.com.", "www"},
		{"a.b.example.com.", "example.com.", "a.b"},
		{".", ".", "@"},
		{"www.", ".", "www"},
		{"a.b.", ".", "a.b"},
		{"example.com.example.com.", "example.com.", "example.com"},
	} {
		if got := relativeName(wireOf(t, c[0]), wireOf(t, c[1])); got != c[2] {
			t.Errorf("%s in %s: %q, want %q", c[0], c[1], got, c[2])
		}
	}
}

func wireOf(t *testing.T, name string) []byte {
	t.Helper()
	buf := make([]byte, 256)
	n, err := dns.PackDomainName(name, buf, 0, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	return buf[:n]
}

// connection is an encrypted connection of a test.
type connection tls.ConnectionState

func (c *connection) ConnectionState() tls.ConnectionState { return tls.ConnectionState(*c) }

// issued returns a certificate for a name, signed by another one; nil: by itself.
func issued(t *testing.T, name string, parent *x509.Certificate, parentKey ed25519.PrivateKey, ca bool, until time.Time) (*x509.Certificate, ed25519.PrivateKey) {
	t.Helper()
	public, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	of := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotBefore: until.Add(-48 * time.Hour), NotAfter: until,
		IsCA: ca, BasicConstraintsValid: true, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if ca {
		of.KeyUsage, of.ExtKeyUsage = x509.KeyUsageCertSign, nil
	}
	if parent == nil {
		parent, parentKey = of, key
	}
	der, err := x509.CreateCertificate(nil, of, parent, public, parentKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

// TestRuleMatchesItsConnection is the table of overTLS, in its order.
func TestRuleMatchesItsConnection(t *testing.T) {
	tomorrow := time.Now().Add(24 * time.Hour)
	root, rootKey := issued(t, "root", nil, nil, true, tomorrow)
	between, betweenKey := issued(t, "between", root, rootKey, true, tomorrow)
	leaf, _ := issued(t, "ns2.example.net", between, betweenKey, false, tomorrow)
	old, _ := issued(t, "ns2.example.net", root, rootKey, false, time.Now().Add(-time.Hour))
	stranger, _ := issued(t, "ns2.example.net", nil, nil, false, tomorrow)
	roots := x509.NewCertPool()
	roots.AddCert(root)
	trust := Trust{"ca.pem": roots}
	ca := &config.ClientTLS{CA: "ca.pem", Name: "ns2.example.net"}
	state := func(change func(*connection)) TLS {
		c := &connection{Version: tls.VersionTLS13, NegotiatedProtocol: "dot", PeerCertificates: []*x509.Certificate{leaf, between}}
		change(c)
		return c
	}
	for name, c := range map[string]struct {
		with TLS
		rule *config.ClientTLS
		want string
	}{
		"plain":                {nil, ca, "transfer.out wants tls, and the connection is not encrypted"},
		"TLS 1.2":              {state(func(c *connection) { c.Version = tls.VersionTLS12 }), ca, "transfer.out wants TLS 1.3, and the connection has TLS 1.2"},
		"HTTPS":                {state(func(c *connection) { c.NegotiatedProtocol = "h2" }), ca, "the client has not negotiated the protocol dot or doq (ALPN)"},
		"no protocol":          {state(func(c *connection) { c.NegotiatedProtocol = "" }), ca, "the client has not negotiated the protocol dot or doq (ALPN)"},
		"QUIC":                 {state(func(c *connection) { c.NegotiatedProtocol = "doq" }), ca, ""},
		"no certificates":      {state(func(c *connection) { c.PeerCertificates = nil }), &config.ClientTLS{}, ""},
		"none sent":            {state(func(c *connection) { c.PeerCertificates = nil }), ca, "the client has sent no certificate"},
		"file not loaded":      {state(func(*connection) {}), &config.ClientTLS{CA: "other.pem"}, "the file of tls.ca is not loaded"},
		"chain":                {state(func(*connection) {}), ca, ""},
		"chain with a hole":    {state(func(c *connection) { c.PeerCertificates = c.PeerCertificates[:1] }), ca, "the certificate of the client: x509: certificate signed by unknown authority"},
		"another name":         {state(func(*connection) {}), &config.ClientTLS{CA: "ca.pem", Name: "ns3.example.net"}, "the certificate of the client: x509: certificate is valid for ns2.example.net, not ns3.example.net"},
		"expired":              {state(func(c *connection) { c.PeerCertificates = []*x509.Certificate{old} }), ca, "the certificate of the client: x509: certificate has expired or is not yet valid"},
		"of another authority": {state(func(c *connection) { c.PeerCertificates = []*x509.Certificate{stranger} }), ca, "the certificate of the client: x509: certificate signed by unknown authority"},
	} {
		got := Refusal([]config.TransferRule{{TLS: c.rule}}, Peer{Source: netip.MustParseAddr("192.0.2.1"), TLS: c.with}, trust)
		if got != c.want && (c.want == "" || !strings.HasPrefix(got, c.want)) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	// The reason is that of the rule of which the most conditions are true.
	rules := []config.TransferRule{
		{Addresses: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}},
		{Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, TLS: ca},
		{Key: "xfr."},
	}
	if got := Refusal(rules, Peer{Source: netip.MustParseAddr("192.0.2.1")}, trust); got != "transfer.out wants tls, and the connection is not encrypted" {
		t.Errorf("%q", got)
	}
	if got := RuleFor(rules, netip.MustParseAddr("192.0.2.7")); got != &rules[1] {
		t.Errorf("rule %+v", got)
	}
	if got := clip(strings.Repeat("x", 299) + "ä"); got != strings.Repeat("x", 299) {
		t.Errorf("a character is cut: %q", got[290:])
	}
}
