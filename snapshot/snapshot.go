// Package snapshot builds what a server answers from: the zones, the pools and the geo data of one configuration.
//
// A Snapshot is immutable except for the health states in its pools. A change of target addresses or latencies makes a
// new one that shares everything but the pools.
package snapshot

import (
	"slices"

	"meridian/certs"
	"meridian/config"
	"meridian/dnssec"
	"meridian/errtext"
	"meridian/geo"
	"meridian/health/probe"
	"meridian/loads"
	"meridian/pools"
	"meridian/server/limit"
	"meridian/transfer"
	"meridian/transfer/catalog"
	"meridian/transfer/tsig"
	"meridian/zones"
)

// Snapshot is a compiled configuration. It is safe for concurrent use.
type Snapshot struct {
	Config *config.Config
	Zones  *zones.Data
	Pools  *pools.Tree
	Geo    *geo.Locator

	Signing *Signing       // nil: no zone is signed
	Chains  *zones.Chains  // of the zones that deny by NSEC chain; nil: there are none
	Cookies *limit.Cookies // nil: no secrets are configured
	TSIG    *tsig.Keyring  // nil: no keys are configured

	Certificates *certs.Store   // of the encrypted transports; nil: there are none
	Trust        transfer.Trust // of the rules for transfers over TLS; nil: none has certificates

	Members catalog.Members // the zones of Config that come from catalogs
	Live    *transfer.Live  // set before it serves; nil: no transfer follows health states
}

// Build compiles a configuration. The returned *multierror.Error holds every error of every stage (databases,
// certificates, master files). Warnings are config.Errors, with or without an error.
func Build(cfg *config.Config) (*Snapshot, []config.Error, error) {
	return build(cfg, Known{}, geo.Open)
}

// BuildInBackground returns a Build for a server that answers queries at the same time. before is the latency table
// in use, or nil. It is kept if its file is now invalid, and Geo.RefusedLatency returns the reason. The build runs on
// the caller's goroutine only, whose thread should have a low priority.
func BuildInBackground(before *geo.Latency, known Known) Builder {
	return func(cfg *config.Config) (*Snapshot, []config.Error, error) {
		return build(cfg, known, func(cfg *config.Config) (*geo.Locator, error) { return geo.OpenInBackground(cfg, before) })
	}
}

// Builder is Build or a result of BuildInBackground.
type Builder func(*config.Config) (*Snapshot, []config.Error, error)

func build(cfg *config.Config, known Known, open opener) (*Snapshot, []config.Error, error) {
	cfg, members, unreadable := withMembers(cfg, known)
	data, report := zones.CompileWith(cfg, known.Copies, known.Masters)
	report.AddWarnings(unreadable...)
	checkPrimaries(cfg, report)
	locator, tree := compilePools(cfg, report, open)
	signing := openSigning(cfg, data, report)
	checkSignedTransfers(cfg, data, transfer.MaxSignedNames, report)
	cookies, keyring := openCookies(cfg, report), openTSIG(cfg, report)
	certificates, trust := openCertificates(cfg, report), openTrust(cfg, report)
	warnings, err := report.Join()
	if err != nil {
		if locator != nil {
			_ = locator.Close() // the errors are reported already
		}
		return nil, warnings, err
	}
	s := &Snapshot{Config: cfg, Zones: data, Pools: tree, Geo: locator, Signing: signing, Cookies: cookies, TSIG: keyring, Certificates: certificates, Trust: trust, Members: members}
	s.Chain()
	return s, append(warnings, s.warningsOfSets()...), nil
}

// WithZones returns the snapshot with updated zone data. Close either snapshot, not both.
func (s *Snapshot) WithZones(data *zones.Data) *Snapshot {
	next := *s
	next.Zones = data
	next.Chain()
	return &next
}

// WithUpdates is WithZones for data that differs only in some zones, by updates. If none of them has an NSEC chain, its cost does
// not depend on the number of names; otherwise names are looked at and not sorted.
func (s *Snapshot) WithUpdates(data *zones.Data, updated []zones.ZoneID) *Snapshot {
	next := *s
	next.Zones = data
	if slices.ContainsFunc(updated, s.chained) {
		next.Chains = s.Chains.Update(data, updated)
	}
	return &next
}

// WithZonesOf returns the snapshot with the zones of another one of the same configuration.
func (s *Snapshot) WithZonesOf(other *Snapshot) *Snapshot {
	next := *s
	next.Zones, next.Chains = other.Zones, other.Chains
	return &next
}

// DiffersByUpdates reports whether dynamic updates of zones are all that s and another snapshot differ in.
func (s *Snapshot) DiffersByUpdates(other *Snapshot) bool {
	return s.Zones.SameOrigin(other.Zones) && s.Config == other.Config && s.Pools == other.Pools && s.Geo == other.Geo &&
		s.Signing == other.Signing && s.Cookies == other.Cookies && s.TSIG == other.TSIG && s.Certificates == other.Certificates
}

// Chain makes the NSEC chains of the zones that have them.
func (s *Snapshot) Chain() {
	wanted := make([]bool, len(s.Config.Zones))
	for i := range wanted {
		wanted[i] = s.chained(zones.ZoneID(i))
	}
	s.Chains = s.Zones.NewChains(wanted)
}

// chained reports whether a zone denies by an NSEC chain.
func (s *Snapshot) chained(zone zones.ZoneID) (wanted bool) {
	if p := s.Zones.Presigned(zone); p != nil {
		wanted = p.Hashes == nil
	}
	if signed := s.Signing.Of(zone); signed != nil {
		wanted = signed.Denial() == dnssec.Chain
	}
	return wanted && s.Zones.Missing(zone) == 0
}

// openCookies reads the secrets of cookies. It returns nil if there are none, and adds errors to report.
func openCookies(cfg *config.Config, report *zones.Report) *limit.Cookies {
	from := &cfg.Server.Cookies
	if from.SecretFile == "" {
		return nil
	}
	cookies, err := limit.OpenCookies(from.SecretFile)
	if err != nil {
		report.AddError(cfg.ErrorAt(from.SecretFilePos, "server.cookies.secret_file", err.Error(),
			errtext.Hint(err, "write one secret of 32 hexadecimal digits a line into it, such as openssl rand -hex 16 prints")))
		return nil
	}
	return cookies
}

// opener is geo.Open or a geo.OpenInBackground with a latency table.
type opener func(*config.Config) (*geo.Locator, error)

// compilePools compiles pools and geo data as far as possible. Without geo data there is no tree, but errors in the
// checks are still reported.
func compilePools(cfg *config.Config, report *zones.Report, open opener) (*geo.Locator, *pools.Tree) {
	report.AddError(probe.Verify(cfg))
	report.AddError(loads.Prepare(cfg))
	locator, err := open(cfg)
	if err != nil {
		report.AddError(err)
		return nil, nil
	}
	if roundTrips := locator.Latency(); roundTrips != nil {
		report.AddWarnings(roundTrips.Warnings...)
	}
	tree, err := pools.Compile(cfg, locator)
	report.AddError(err)
	if tree != nil {
		report.AddWarnings(warningsOfTables(cfg, tree)...)
	}
	report.AddWarnings(locator.UnknownTerms()...)
	locator.ReleaseBuildData()
	return locator, tree
}

// Close closes the snapshot's files. Call it when no query reads the snapshot any more.
func (s *Snapshot) Close() error { return s.Geo.Close() }
