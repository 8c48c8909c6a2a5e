package snapshot

import (
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"meridian/config"
	"meridian/dnsname"
	"meridian/transfer"
	"meridian/transfer/catalog"
	"meridian/transfer/secondary"
	"meridian/zones"
)

// Known holds the data that a server keeps from one snapshot to the next.
type Known struct {
	Copies  zones.Copies    // of zones that have primaries; others are read from the state directory
	Members catalog.Members // of catalogs; nil: they are read from there
	Masters *zones.Masters  // master files as they were parsed; nil: all are parsed
}

// WithCopies returns s with the zones compiled again, with these copies of zones that have primaries and these members of catalogs, and with the master files as
// they were: only a reload takes their changes. The two share everything else, as with Resolve.
func (s *Snapshot) WithCopies(copies zones.Copies, members catalog.Members) (*Snapshot, []config.Error, error) {
	cfg := s.Config
	if !members.Equal(s.Members) {
		cfg = cfg.WithMembers(members.Zones())
	}
	data, report := s.Zones.WithCopies(cfg, copies)
	warnings, err := report.Join()
	if err != nil {
		return nil, warnings, err
	}
	next := *s
	next.Config, next.Zones, next.Members = cfg, data, members
	next.Chain()
	return &next, warnings, nil
}

// UpdateMembers returns the members of the catalogs of a configuration, with these copies of them.
func UpdateMembers(cfg *config.Config, before catalog.Members, copies zones.Copies, now time.Time) catalog.Outcome {
	written := cfg.WrittenZones()
	configured := make(map[dnsname.Name]bool, len(written))
	var catalogs []catalog.Catalog
	for i := range written {
		z := &written[i]
		configured[z.Name] = true
		if z.Consumed == nil {
			continue
		}
		of := catalog.Catalog{Name: z.Name, Grace: z.Consumed.Grace}
		if c := copies[z.Name]; c != nil {
			entries, err := catalog.Parse(c) // an error only in a file of an older version: broken copies are not accepted
			of.Entries, of.Known = entries, err == nil
		}
		catalogs = append(catalogs, of)
	}
	return before.Update(catalogs, func(name dnsname.Name) bool { return configured[name] }, now)
}

// withMembers returns a configuration with the zones in its catalogs, the members, and warnings.
func withMembers(cfg *config.Config, known Known) (whole *config.Config, members catalog.Members, warnings []config.Error) {
	copies := zones.Copies{}
	for i := range cfg.Zones {
		z := &cfg.Zones[i]
		if z.Consumed == nil {
			continue
		}
		if copies[z.Name] = known.Copies[z.Name]; copies[z.Name] == nil && cfg.State != "" {
			copies[z.Name], _ = zones.ReadCopy(cfg.State, z.Name) // ReadCopies reports the error
		}
	}
	if len(copies) == 0 {
		return cfg, nil, nil
	}
	before := known.Members
	if before == nil {
		var err error
		if before, err = catalog.Read(cfg.State); err != nil {
			warnings = append(warnings, cfg.ErrorAt(cfg.StatePos, "state", "the zones of catalogs cannot be read: "+err.Error(), "they are those that the catalogs list now; those that have left are not served any more"))
		}
	}
	members = UpdateMembers(cfg, before, copies, time.Now()).Members
	return cfg.WithMembers(members.Zones()), members, warnings
}

// errRemoved is the error of a copy of a zone that the configuration no longer has.
var errRemoved = errors.New("the configuration does not have the zone any more")

// CheckCopy checks a copy as the only zone of the configuration, with its balanced names. Other zones thus cannot be what
// is wrong. It returns the warnings, too. allowRemoval lets most zones leave a catalog.
func (s *Snapshot) CheckCopy(c *zones.Copy, allowRemoval bool) ([]config.Error, error) {
	for i := range s.Config.Zones {
		z := &s.Config.Zones[i]
		switch {
		case z.Name != c.Zone:
			continue
		case z.Consumed != nil:
			if err := s.Members.Check(c, allowRemoval); err != nil {
				return nil, err
			}
		}
		alone := *s.Config
		alone.Zones = []config.Zone{*z}
		_, report := zones.CompileWith(&alone, zones.Copies{c.Zone: c}, nil)
		return report.Join()
	}
	return nil, errRemoved
}

const hintOfCA = "write the path of a PEM file with the certificates to trust"

// checkPrimaries reports the files of certificates of primaries that cannot be read.
func checkPrimaries(cfg *config.Config, report *zones.Report) {
	for _, peers := range cfg.Peers() {
		for j := range peers.Primaries {
			t := peers.Primaries[j].TLS
			if t == nil {
				continue
			}
			path := fmt.Sprintf("%s.primaries[%d].tls", peers.Path, j)
			if t.CA != "" {
				if _, err := secondary.ReadCA(t.CA); err != nil {
					report.AddError(cfg.ErrorAt(t.CAPos, path+".ca", err.Error(), hintOfCA))
				}
			}
			if t.Cert != "" {
				if _, err := tls.LoadX509KeyPair(t.Cert, t.Key); err != nil {
					report.AddError(cfg.ErrorAt(t.Pos, path+".cert", err.Error(), "write the paths of a certificate and of its key, in PEM"))
				}
			}
		}
	}
}

// openTrust reads the certificates of the rules for transfers over TLS. It returns nil if there are none, and adds errors to report.
func openTrust(cfg *config.Config, report *zones.Report) (trust transfer.Trust) {
	for _, peers := range cfg.Peers() {
		for j := range peers.Out {
			t := peers.Out[j].TLS
			if t == nil || t.CA == "" || trust[t.CA] != nil {
				continue
			}
			pool, err := secondary.ReadCA(t.CA)
			if err != nil {
				path := fmt.Sprintf("%s.transfer.out[%d].tls.ca", peers.Path, j)
				report.AddError(cfg.ErrorAt(t.CAPos, path, err.Error(), hintOfCA))
				continue
			}
			if trust == nil {
				trust = transfer.Trust{}
			}
			trust[t.CA] = pool
		}
	}
	return trust
}
