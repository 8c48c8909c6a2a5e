package keys

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"meridian/config"
	"meridian/dnsname"
	"meridian/dnssec"
)

// zoneName is the zone of the tests.
const zoneName dnsname.Name = "example.com."

// world is a zone, its parent and all that resolvers can have in their caches. A step is one second.
type world struct {
	t      *testing.T
	random *rand.Rand
	policy config.SigningPolicy
	maxTTL int // seconds
	keys   []*Key
	begin  time.Time
	now    int // seconds after begin

	cds        [][]byte   // the CDS records of the zone
	master     [][]byte   // the DS records of the parent
	changed    int        // when they changed
	servers    [][][]byte // the DS records of each server of the parent
	history    []instant  // what the zone and the parent had at each second
	deadServer bool       // one server of the parent does not answer
	operator   bool       // an operator hands over DS records; the parent does not read CDS records
	generated  int
	rolled     int
	lagged     int // checks with a secondary that is behind
}

// instant is what resolvers could fetch at one second.
type instant struct {
	ds      [][][]byte // of each server
	dnskey  [][]byte
	ksk     []*dnssec.Key
	signers []*dnssec.Key // of the records; empty: not signed
}

func newWorld(t *testing.T, seed uint64) *world {
	r := rand.New(rand.NewPCG(seed, 1))
	second := func(least, most int) time.Duration { return time.Duration(least+r.IntN(most-least+1)) * time.Second }
	w := &world{t: t, random: r, maxTTL: 1 + r.IntN(5), begin: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), servers: make([][][]byte, 1+r.IntN(3))}
	w.policy = config.SigningPolicy{
		Keys: config.CSK, Algorithm: dnssec.ECDSAP256SHA256, Validity: second(3, 20), Refresh: second(1, 2), DNSKEYTTL: second(1, 4),
		PublishSafety: second(0, 2), RetireSafety: second(0, 2), CDS: config.CDSRollover, Manager: config.AutoManager,
		Parent: config.Parent{Servers: make([]netip.AddrPort, len(w.servers)), DSTTL: second(1, 4), Propagation: second(0, 3)},
	}
	if r.IntN(2) == 0 {
		w.policy.Keys = config.KSKAndZSK
	}
	w.history = make([]instant, w.maxTTL+1) // not signed
	for i := range w.history {
		w.history[i].ds = slices.Clone(w.servers)
	}
	w.now = len(w.history)
	if r.IntN(3) == 0 {
		w.policy.CDS = config.CDSAlways
	}
	w.operator = r.IntN(2) == 0
	return w
}

// generate makes keys that have tags like others, sometimes.
func (w *world) generate(zone dnsname.Name, flags uint16, algorithm uint8) (*dnssec.Key, error) {
	w.generated++
	return dnssec.Generate(zone, flags, algorithm)
}

// step lets one second pass: the parent gets DS records, and the manager plans.
func (w *world) step(roll Role) {
	w.parentActs()
	in := Input{
		Zone: zoneName, Policy: &w.policy, Keys: w.keys, Now: w.at(w.now), MaxTTL: time.Duration(w.maxTTL) * time.Second,
		Roll: roll, Generate: w.generate,
	}
	if w.random.IntN(3) > 0 && !w.deadServer {
		in.Parent = &DSView{Answers: w.servers}
	}
	plan, err := Make(in)
	if err != nil {
		w.t.Fatal(err)
	}
	w.keys = plan.Keys
	w.rolled += len(plan.Notes)
	set, err := At(w.keys, &w.policy, nil, w.at(w.now))
	if err != nil {
		w.t.Fatalf("second %d: %v", w.now, err)
	}
	w.history = append(w.history, instant{
		ds: slices.Clone(w.servers), dnskey: set.DNSKEY, ksk: set.KSK, signers: set.ZSK,
	})
	w.cds = set.CDS
	w.now++
}

func (w *world) at(second int) time.Time { return w.begin.Add(time.Duration(second) * time.Second) }

// parentActs gives the parent the CDS records or those of the operator, sometimes, and its servers follow within the time of propagation.
func (w *world) parentActs() {
	wanted := w.cds
	if w.operator {
		wanted = w.submitted()
	}
	if len(wanted) > 0 && w.random.IntN(4) == 0 && fmt.Sprint(wanted) != fmt.Sprint(w.master) {
		w.master, w.changed = wanted, w.now
	}
	late := w.now >= w.changed+int(w.policy.Parent.Propagation/time.Second)
	for i := range w.servers {
		if late || w.random.IntN(3) == 0 {
			w.servers[i] = w.master
		}
	}
}

// submitted returns the DS record that an operator hands over.
func (w *world) submitted() [][]byte {
	s := SubmissionOf(w.keys, &w.policy, w.at(w.now))
	if s.Key == nil || !s.From.IsZero() {
		return nil
	}
	return [][]byte{s.Key.DS(dnssec.SHA256)}
}

// lag returns how far a secondary with signatures of this server may be behind: as far as both times of safety allow.
func (w *world) lag() time.Duration { return min(w.policy.PublishSafety, w.policy.RetireSafety) }

// check validates as each resolver could now: with DS records, keys and records that it fetched at any times that their
// TTLs allow, each from this server or from a secondary that is behind.
func (w *world) check() {
	last := len(w.history) - 1
	oldest := func(d time.Duration) int { return max(0, last-int(d/time.Second)) }
	lag := w.lag()
	if lag > 0 {
		w.lagged++
	}
	for at := oldest(w.policy.Parent.DSTTL); at <= last; at++ {
		for _, ds := range w.history[at].ds {
			for key := oldest(w.policy.DNSKEYTTL + lag); key <= last; key++ {
				for data := oldest(min(time.Duration(w.maxTTL)*time.Second, w.policy.Validity) + lag); data <= last; data++ {
					if err := validate(ds, &w.history[key], &w.history[data]); err != nil {
						w.t.Fatalf("second %d, %+v: DS of second %d, DNSKEY of %d, records of %d: %v\n%s", last, w.policy, at, key, data, err, w.show())
					}
				}
			}
		}
	}
}

// validate is the slow model of a strict validator (RFC 4035 5, RFC 6840 5.11): each algorithm of the DS records has a
// chain, and each algorithm of the DNSKEY records signs the data.
func validate(ds [][]byte, keys, data *instant) error {
	if len(ds) == 0 {
		return nil // not signed, for this resolver
	}
	has := func(k *dnssec.Key) bool {
		return slices.ContainsFunc(keys.dnskey, func(r []byte) bool { return bytes.Equal(r, k.DNSKEY()) })
	}
	for _, d := range ds {
		algorithm := d[2]
		if !slices.ContainsFunc(ds, func(d []byte) bool {
			return d[2] == algorithm && slices.ContainsFunc(keys.ksk, func(k *dnssec.Key) bool { return bytes.Equal(k.DS(dnssec.SHA256), d) && has(k) })
		}) {
			return fmt.Errorf("no DS record of algorithm %d has a key that signs the keys", algorithm)
		}
	}
	for _, rdata := range keys.dnskey {
		if !slices.ContainsFunc(data.signers, func(k *dnssec.Key) bool { return k.Algorithm == rdata[3] && has(k) }) {
			return fmt.Errorf("no signature of algorithm %d by a key of the zone", rdata[3])
		}
	}
	return nil
}

func (w *world) show() string {
	var b bytes.Buffer
	for _, k := range w.keys {
		fmt.Fprintf(&b, "%d alg %d flags %d:", k.Tag, k.Algorithm, k.Flags)
		for _, f := range k.named() {
			if !f.at.IsZero() {
				fmt.Fprintf(&b, " %s=%d", f.state, int(f.at.Sub(w.begin)/time.Second))
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// TestEveryResolverValidatesAtEveryInstant changes policies and rolls keys at random times.
func TestEveryResolverValidatesAtEveryInstant(t *testing.T) {
	generated, lagged := 0, 0
	for seed := range uint64(15) {
		w := newWorld(t, seed)
		for w.now < 120 {
			roll := Role("")
			switch w.random.IntN(25) {
			case 0:
				roll = KSK
			case 1:
				roll = ZSK
			case 2:
				w.policy.Algorithm = []uint8{dnssec.ECDSAP256SHA256, dnssec.ED25519}[w.random.IntN(2)]
			case 3:
				w.policy.Keys = []config.KeySet{config.CSK, config.KSKAndZSK}[w.random.IntN(2)]
			case 4:
				w.deadServer = w.random.IntN(3) == 0
			}
			w.step(roll)
			w.check()
		}
		generated, lagged = generated+w.generated, lagged+w.lagged
	}
	if generated < 15*4 {
		t.Errorf("%d keys generated in 15 worlds: the rollovers are not exercised", generated)
	}
	if lagged < 15*120/4 {
		t.Errorf("%d checks with a secondary that is behind", lagged)
	}
}
