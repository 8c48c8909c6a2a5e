package snapshot

import (
	"crypto/tls"
	"errors"
	"fmt"

	"meridian/config"
	"meridian/transfer"
	"meridian/transfer/secondary"
	"meridian/zones"
)

// WithCopies returns s with the zones compiled again, with these copies of zones that have primaries, and with the master files as
// they were: only a reload takes their changes. The two share everything else, as with Resolve.
func (s *Snapshot) WithCopies(copies zones.Copies) (*Snapshot, []config.Error, error) {
	data, report := s.Zones.WithCopies(copies)
	warnings, err := report.Join()
	if err != nil {
		return nil, warnings, err
	}
	next := *s
	next.Zones = data
	next.Chain()
	return &next, warnings, nil
}

// errRemoved is the error of a copy of a zone that the configuration no longer has.
var errRemoved = errors.New("the configuration does not have the zone any more")

// CheckCopy checks a copy as the only zone of the configuration, with its balanced names. Other zones thus cannot be what
// is wrong. It returns the warnings, too.
func (s *Snapshot) CheckCopy(c *zones.Copy) ([]config.Error, error) {
	for i := range s.Config.Zones {
		z := &s.Config.Zones[i]
		if z.Name != c.Zone {
			continue
		}
		alone := *s.Config
		alone.Zones = []config.Zone{*z}
		_, report := zones.CompileWith(&alone, zones.Copies{c.Zone: c})
		return report.Join()
	}
	return nil, errRemoved
}

const hintOfCA = "write the path of a PEM file with the certificates to trust"

// checkPrimaries reports the files of certificates of primaries that cannot be read.
func checkPrimaries(cfg *config.Config, report *zones.Report) {
	for i := range cfg.Zones {
		z := &cfg.Zones[i]
		for j := range z.Primaries {
			t := z.Primaries[j].TLS
			if t == nil {
				continue
			}
			path := fmt.Sprintf("%s.primaries[%d].tls", z.Path(), j)
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
	for i := range cfg.Zones {
		z := &cfg.Zones[i]
		for j := range z.Transfer.Out {
			t := z.Transfer.Out[j].TLS
			if t == nil || t.CA == "" || trust[t.CA] != nil {
				continue
			}
			pool, err := secondary.ReadCA(t.CA)
			if err != nil {
				path := fmt.Sprintf("%s.transfer.out[%d].tls.ca", z.Path(), j)
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
