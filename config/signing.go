package config

import (
	"fmt"
	"net/netip"
	"time"

	"meridian/config/internal/yamldoc"

	"github.com/miekg/dns"
	"gopkg.in/yaml.v3"
)

// SigningPolicy defines the keys of a zone, their rollovers, and how its answers are signed. Its durations are whole
// seconds.
type SigningPolicy struct {
	Name      string
	Keys      KeySet
	Algorithm uint8 // 13 or 15
	Denial    Denial

	Validity  time.Duration // from the beginning of a slot to the expiration of its signatures; longer than Refresh
	Refresh   time.Duration // length of a slot: the time between two signatures of the same records
	Inception time.Duration // how long before the slot a signature becomes valid, for validators with a late clock

	DNSKEYTTL     time.Duration
	PublishSafety time.Duration // added to the time until a new key is in use
	RetireSafety  time.Duration // added to the time until an old key is removed
	KSKLifetime   time.Duration // of a KSK or CSK; 0: no rollover without a command
	ZSKLifetime   time.Duration // 0: the same

	CDS     CDSMode
	Manager KeyManager
	Parent  Parent

	Family  Family // default for the zones with this policy
	Variety int    // the same

	Pos Pos // the zero value: not in the file
}

// Parent describes the parent zone.
type Parent struct {
	Servers     []netip.AddrPort // asked for the DS records
	DSTTL       time.Duration
	Propagation time.Duration // until all servers of the parent have a change
}

// KeySet is the set of keys that a zone has.
type KeySet string

// The sets of keys.
const (
	CSK       KeySet = "csk"     // one key signs everything
	KSKAndZSK KeySet = "ksk+zsk" // one key signs the keys, another one signs the rest
)

// Denial is how a signed zone proves that something does not exist.
type Denial string

// The kinds of denial.
const (
	CompactDenial Denial = "compact" // RFC 9824
	NSECDenial    Denial = "nsec"    // the chain of all names
)

// CDSMode is when CDS and CDNSKEY records are published (RFC 7344, RFC 8078).
type CDSMode string

// The modes of CDS.
const (
	CDSAlways   CDSMode = "always"
	CDSRollover CDSMode = "rollover" // while the DS at the parent differs from the one wanted
	CDSNone     CDSMode = "none"
	CDSDelete   CDSMode = "delete" // asks the parent to remove the DS
)

// KeyManager is what changes the keys of a zone.
type KeyManager string

// The managers.
const (
	AutoManager     KeyManager = "auto"     // this server
	ExternalManager KeyManager = "external" // another node or program; this server reads the files and acts on their times
)

// Family is the answer to a client for which a pool has no address of the family asked for.
type Family string

// The values of Family.
const (
	WidenFamily  Family = "widen"  // from another member that has one
	StrictFamily Family = "strict" // NODATA
)

// mostVariety is the largest value of variety.
const mostVariety = 10_000

// The largest durations of a policy.
const (
	maxValidity = 366 * 24 * time.Hour
	maxSafety   = 90 * 24 * time.Hour
	maxLifetime = 20 * 366 * 24 * time.Hour
	maxKeyTTL   = 7 * 24 * time.Hour
)

// defaultSigning returns the policy with all defaults.
func defaultSigning() SigningPolicy {
	const day = 24 * time.Hour
	return SigningPolicy{
		Keys: CSK, Algorithm: dns.ECDSAP256SHA256, Denial: CompactDenial,
		Validity: 3 * day, Refresh: day, Inception: time.Hour,
		DNSKEYTTL: time.Hour, PublishSafety: time.Hour, RetireSafety: time.Hour,
		CDS: CDSRollover, Manager: AutoManager, Parent: Parent{DSTTL: day, Propagation: time.Hour},
		Family: WidenFamily, Variety: 32,
	}
}

func (d *decoder) signingPolicies(to *[]SigningPolicy) setter {
	return d.define(kindSigning, func(name string, key, value *yaml.Node) {
		if name == Unsigned {
			d.errorf(key, quote(name)+" cannot name a policy", "in a zone it means no signatures")
		}
		p := d.defaults.signing
		p.Name, p.Pos = name, posOf(key)
		d.signingPolicy(value, &p)
		*to = append(*to, p)
	})
}

func (d *decoder) signingPolicy(n *yaml.Node, p *SigningPolicy) {
	const second = time.Second
	ok := d.mapping(n, []field{
		{name: "keys", set: choose(d, &p.Keys, "set of keys", CSK, KSKAndZSK)},
		{name: "algorithm", set: setValue(&p.Algorithm, d.keyAlgorithm)},
		{name: "denial", set: choose(d, &p.Denial, "denial", CompactDenial, NSECDenial)},
		{name: "validity", set: d.seconds(&p.Validity, 2*second, maxValidity)},
		{name: "refresh", set: d.seconds(&p.Refresh, second, maxValidity)},
		{name: "inception", set: d.seconds(&p.Inception, 0, maxSafety)},
		{name: "dnskey_ttl", set: d.seconds(&p.DNSKEYTTL, second, maxKeyTTL)},
		{name: "publish_safety", set: d.seconds(&p.PublishSafety, 0, maxSafety)},
		{name: "retire_safety", set: d.seconds(&p.RetireSafety, 0, maxSafety)},
		{name: "ksk_lifetime", set: d.seconds(&p.KSKLifetime, 0, maxLifetime)},
		{name: "zsk_lifetime", set: d.seconds(&p.ZSKLifetime, 0, maxLifetime)},
		{name: "cds", set: choose(d, &p.CDS, "CDS mode", CDSAlways, CDSRollover, CDSNone, CDSDelete)},
		{name: "manager", set: choose(d, &p.Manager, "manager", AutoManager, ExternalManager)},
		{name: "parent", set: d.parent(&p.Parent)},
		{name: "family", set: choose(d, &p.Family, "family", WidenFamily, StrictFamily)},
		{name: "variety", set: d.integerInRange(&p.Variety, 1, mostVariety)},
	})
	if ok {
		d.checkSigningTimes(n, p)
	}
}

func (d *decoder) parent(to *Parent) setter {
	return func(n *yaml.Node) {
		d.mapping(n, []field{
			{name: "servers", set: d.parentServers(&to.Servers)},
			{name: "ds_ttl", set: d.seconds(&to.DSTTL, 0, maxKeyTTL)},
			{name: "propagation", set: d.seconds(&to.Propagation, 0, maxSafety)},
		})
	}
}

// choose reads one of the words of a closed set.
func choose[T ~string](d *decoder, to *T, what string, words ...T) setter {
	texts := make([]string, len(words))
	for i, word := range words {
		texts[i] = string(word)
	}
	return setValue(to, func(n *yaml.Node) (T, bool) {
		s, ok := d.oneOf(n, what, texts)
		return T(s), ok
	})
}

// keyAlgorithm reads the mnemonic of an algorithm, in lower case.
func (d *decoder) keyAlgorithm(n *yaml.Node) (uint8, bool) {
	s, ok := d.oneOf(n, "algorithm", []string{"ecdsap256sha256", "ed25519"})
	if s == "ed25519" {
		return dns.ED25519, ok
	}
	return dns.ECDSAP256SHA256, ok
}

// checkSigningTimes reports times that contradict each other.
func (d *decoder) checkSigningTimes(n *yaml.Node, p *SigningPolicy) {
	if p.Refresh >= p.Validity {
		d.errorf(either(n, "refresh", "validity"), fmt.Sprintf("refresh %s is not shorter than the validity, %s: signatures would expire before the next ones", FormatDuration(p.Refresh), FormatDuration(p.Validity)),
			"at most half of the validity leaves time to correct an error")
	}
	if lifetime := yamldoc.Child(n, "zsk_lifetime"); lifetime != nil && p.ZSKLifetime > 0 && p.Keys == CSK {
		d.errorf(lifetime, "a policy of keys: csk has no ZSK", "write ksk_lifetime, or keys: ksk+zsk")
	}
	if lifetime := yamldoc.Child(n, "ksk_lifetime"); lifetime != nil && p.KSKLifetime > 0 && p.CDS == CDSDelete {
		d.errorf(lifetime, "cds: delete removes the DS, so no rollover of the key can end", "leave ksk_lifetime out")
	}
	if lifetime := yamldoc.Child(n, "ksk_lifetime"); lifetime != nil && p.KSKLifetime > 0 && p.Manager == AutoManager && len(p.Parent.Servers) == 0 {
		d.warn(lifetime, "rollovers wait for the DS record at the parent, and parent.servers has no server to ask", "write the servers of the parent zone, or confirm each rollover by meridian keys ds --seen")
	}
}

// either returns the value of the first of two keys that mapping n has.
func either(n *yaml.Node, first, second string) *yaml.Node {
	if value := yamldoc.Child(n, first); value != nil {
		return value
	}
	return yamldoc.Child(n, second)
}
