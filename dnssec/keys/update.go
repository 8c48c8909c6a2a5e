package keys

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/dnsname"
	"meridian/dnssec"
	"meridian/errtext"
)

// Request is a look at the keys of one zone, or a change of them.
type Request struct {
	Folder string
	Zone   dnsname.Name
	Policy *config.SigningPolicy
	Extra  string // path of a master file with the DNSKEY records of other signers; empty: none
	Now    time.Time
	MaxTTL time.Duration // the longest TTL in the zone; 0: unknown
	Parent *DSView       // nil: unknown
	Roll   Role          // empty: none
	Write  bool          // write the changes of the plan to the files
}

// Result is the state of a zone's keys.
type Result struct {
	Plan
	Set    dnssec.Keys // what the zone has now
	Others [][]byte    // the DNSKEY records of other signers that the parent should have DS records of, as RDATA
}

// Update reads the keys of a zone, makes the plan and, if asked to, writes its changes. Two programs that update one
// folder wait for each other. An error changes nothing of what is served.
func Update(r Request) (Result, error) {
	open := Open
	if r.Write {
		open = OpenLocked
	}
	folder, err := open(r.Folder)
	if err != nil {
		return Result{}, err
	}
	defer folder.Close()
	return folder.Update(r)
}

// OpenLocked opens the folder, which it makes if needed, for changes: it waits until no other program changes keys in
// it, and locks it until Close.
func OpenLocked(path string) (*Folder, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("%s cannot be made: %w", path, errtext.TrimPath(err))
	}
	unlock, err := lockFolder(path)
	if err != nil {
		return nil, fmt.Errorf("%s cannot be locked: %w", path, err)
	}
	f, err := Open(path)
	if err != nil {
		unlock()
		return nil, err
	}
	f.unlock = unlock
	return f, nil
}

// Close releases the lock of OpenLocked, if there is one.
func (f *Folder) Close() {
	if f.unlock != nil {
		f.unlock()
	}
}

// Update is Update for a folder that is open.
func (f *Folder) Update(r Request) (Result, error) {
	all, err := f.Keys(r.Zone)
	if err != nil {
		return Result{}, err
	}
	last, err := f.LastSeen()
	if err != nil {
		return Result{}, err
	}
	extra, err := ReadExtra(r.Extra, r.Zone)
	if err != nil {
		return Result{}, err
	}
	plan, err := Make(Input{Zone: r.Zone, Policy: r.Policy, Keys: all, Extra: extra, Now: r.Now, LastSeen: last, MaxTTL: r.MaxTTL, Parent: r.Parent, Roll: r.Roll})
	if err != nil {
		return Result{}, err
	}
	set, err := At(plan.Keys, r.Policy, extra, plan.Now)
	if err != nil {
		return Result{Plan: plan}, fmt.Errorf("%s: zone %s: %w", r.Folder, r.Zone, err)
	}
	if r.Write {
		err = f.save(plan, r.Now, last)
	}
	return Result{plan, set, otherKSKs(plan.Keys, extra)}, err
}

// save writes what a plan changes, and the time.
func (f *Folder) save(plan Plan, now, last time.Time) error {
	for _, k := range plan.Changed {
		if err := f.Write(k); err != nil {
			return err
		}
	}
	if plan.Now.Equal(last) || now.Sub(last) < clockInterval && len(plan.Changed) == 0 {
		return nil
	}
	return replaceAll([]replacement{{filepath.Join(f.path, clockFile), formatTime(plan.Now) + "\n", 0o600}})
}

// clockFile has the latest time at which keys were looked at, written each clockInterval.
const (
	clockFile     = "clock"
	clockInterval = 10 * time.Minute
)

// LastSeen reads the clock file; the zero time if there is none.
func (f *Folder) LastSeen() (time.Time, error) {
	path := filepath.Join(f.path, clockFile)
	text, err := f.readFile(path, false)
	if errors.Is(err, fs.ErrNotExist) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("%s %w", path, err)
	}
	at, err := time.ParseInLocation(timeLayout, strings.TrimSpace(text), time.UTC)
	if err != nil {
		return time.Time{}, fmt.Errorf("%s: %q is not a time like %s: remove the file", path, clip(text), timeLayout)
	}
	return at, nil
}

// ReadExtra reads the DNSKEY records of other signers (RFC 8901) of a zone from a master file, as RDATA. An empty path
// has none.
func ReadExtra(path string, zone dnsname.Name) (records [][]byte, err error) {
	if path == "" {
		return nil, nil
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%s %w", path, errtext.CannotRead(err))
	}
	defer file.Close()
	parser := dns.NewZoneParser(file, string(zone), path)
	parser.SetDefaultTTL(0)
	for rr, ok := parser.Next(); ok; rr, ok = parser.Next() {
		key, isKey := rr.(*dns.DNSKEY)
		if !isKey || !strings.EqualFold(key.Hdr.Name, string(zone)) || len(records) == maxKeys {
			return nil, fmt.Errorf("%s: %s: want at most %d DNSKEY records of %s, and nothing else", path, clip(rr.String()), maxKeys, zone)
		}
		packed := make([]byte, dns.MaxMsgSize)
		end, err := dns.PackRR(key, packed, 0, nil, false)
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", path, clip(rr.String()), err)
		}
		records = append(records, packed[len(zone.Wire())+10:end])
	}
	if err := parser.Err(); err != nil {
		return nil, err // has the path
	}
	return records, nil
}

// Wanted returns the KSK or CSK that the parent should have the only DS record of, or nil: of the policy's algorithm if
// there is one.
func Wanted(all []*Key, policy *config.SigningPolicy) *Key {
	p := planner{Input: Input{Policy: policy}, plan: Plan{Keys: all}}
	if k := p.newest(); k != nil {
		return k
	}
	if others := p.alive(true, false); len(others) > 0 {
		return others[len(others)-1]
	}
	return nil
}

// Import copies keys into the folder of a zone; files are their names, with or without the ending. None is copied if one
// has an error.
func Import(folder string, zone dnsname.Name, files []string) ([]*Key, error) {
	to, err := OpenLocked(folder)
	if err != nil {
		return nil, err
	}
	defer to.Close()
	existing, err := to.Keys(zone)
	if err != nil {
		return nil, err
	}
	var imported []*Key
	for _, file := range files {
		k, err := readOutside(file, zone)
		if err != nil {
			return nil, err
		}
		for _, other := range append(existing, imported...) {
			if other.Tag == k.Tag && other.Algorithm == k.Algorithm {
				return nil, fmt.Errorf("%s: key %d exists already as %s", file, k.Tag, other.File)
			}
		}
		imported = append(imported, k)
	}
	for i, k := range imported {
		k.File = ""
		if err := to.Write(k); err != nil {
			for _, written := range imported[:i+1] {
				written.remove()
			}
			return nil, err
		}
	}
	return imported, nil
}

// readOutside reads a key that is not in the folder.
func readOutside(file string, zone dnsname.Name) (*Key, error) {
	base := file
	for _, ending := range []string{publicFile, privateFile, stateFile} {
		base = strings.TrimSuffix(base, ending)
	}
	f := &Folder{path: filepath.Dir(base), owner: -1}
	if info, err := os.Stat(f.path); err == nil {
		f.owner = ownerOf(info)
	}
	endings := map[string]bool{}
	for _, ending := range []string{publicFile, privateFile, stateFile} {
		if _, err := os.Stat(base + ending); err == nil {
			endings[ending] = true
		}
	}
	return f.read(base, endings, zone)
}
