package snapshot_test

import (
	"encoding/hex"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/dnssec"
	"meridian/dnssec/keys"
	"meridian/snapshot"
)

// TestOldKeyIsRemovedWhenTheParentHasTheNewDS rolls a CSK with a parent that is silent first.
func TestOldKeyIsRemovedWhenTheParentHasTheNewDS(t *testing.T) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wanted atomic.Pointer[dnssec.Key]
	parent := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		reply := new(dns.Msg).SetReply(q)
		k := wanted.Load()
		if reply.Authoritative = k != nil; k != nil {
			reply.Answer = []dns.RR{&dns.DS{
				Hdr:    dns.RR_Header{Name: "example.com.", Rrtype: dns.TypeDS, Class: dns.ClassINET, Ttl: 60},
				KeyTag: k.Tag, Algorithm: k.Algorithm, DigestType: 2, Digest: hex.EncodeToString(k.DS(dnssec.SHA256)[4:]),
			}}
		}
		w.WriteMsg(reply)
	})}
	go parent.ActivateAndServe()
	t.Cleanup(func() { parent.Shutdown() })
	cfg := load(t, strings.Replace(signed, "copied: {manager: external}", `default: {parent: {servers: ["`+conn.LocalAddr().String()+`"]}}`, 1), nil)
	s, _, err := snapshot.WritingKeys(snapshot.Build)(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	now := time.Now().Add(time.Minute)
	update := func() snapshot.KeyUpdate {
		t.Helper()
		done, err := s.Signing.UpdateKeys(now)
		if err != nil {
			t.Fatal(err)
		}
		return done
	}
	request := keys.Request{Folder: cfg.DNSSEC.Keys, Zone: "example.com.", Policy: &cfg.DNSSEC.Policies[0], Now: now, Roll: keys.KSK, Write: true}
	if _, err := keys.Update(request); err != nil {
		t.Fatal(err)
	}
	now = now.Add(30 * 24 * time.Hour)
	update()
	if asked, err := s.Signing.AskParents(t.Context(), now); !asked || err == nil || !strings.Contains(err.Error(), "no authority for the DS of example.com.") {
		t.Errorf("asked %t, error %v, want that of the parent", asked, err)
	}
	if asked, err := s.Signing.AskParents(t.Context(), now); asked || err != nil {
		t.Errorf("asked %t, error %v at once after a failure", asked, err)
	}
	if update(); len(s.Signing.Zones[0].KeyTags(dns.TypeDNSKEY)) != 2 {
		t.Fatal("the old key was removed without the DS of the new one")
	}
	request.Roll, request.Write = "", false
	state, err := keys.Update(request)
	if err != nil {
		t.Fatal(err)
	}
	wanted.Store(keys.Wanted(state.Keys, request.Policy).Key)
	now = now.Add(2 * time.Hour)
	if _, err := s.Signing.AskParents(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	done := update()
	if len(done.Changes) == 0 || done.Next.Before(now.Add(24*time.Hour)) {
		t.Errorf("changes %v, next %s; want the end of the old key after the TTL of the DS", done.Changes, done.Next)
	}
	now = done.Next
	if update(); len(s.Signing.Zones[0].KeyTags(dns.TypeDNSKEY)) != 1 || s.Signing.Zones[0].KeyTags(dns.TypeA)[0] != wanted.Load().Tag {
		t.Error("the old key is still published")
	}
}
