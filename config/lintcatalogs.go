package config

import (
	"slices"

	"meridian/dnsname"
)

// warnOfCatalogs warns of catalogs, and of zones in them, that no secondary can take.
func (d *decoder) warnOfCatalogs(cfg *Config) {
	catalogs, used := map[dnsname.Name]*Zone{}, map[dnsname.Name]bool{}
	for i := range cfg.Zones {
		if z := &cfg.Zones[i]; z.Produced {
			catalogs[z.Name] = z
		}
	}
	for i := range cfg.Zones {
		z := &cfg.Zones[i]
		if catalog := catalogs[z.Entry.Catalog]; catalog != nil {
			used[catalog.Name] = true
			d.warnOfMember(z, catalog)
		}
	}
	for name, catalog := range catalogs {
		if len(catalog.Transfer.Out) == 0 {
			d.warnAt(keyAt(catalog.Pos), "no server may transfer the catalog", "write transfer: {out: [...]} with its secondaries")
		}
		if !used[name] {
			d.warnAt(keyAt(catalog.Pos), "no zone is in the catalog", "write catalog: "+keyText(name)+" in zones")
		}
	}
}

// warnOfMember warns of a zone that the secondaries of its catalog cannot take.
func (d *decoder) warnOfMember(z, catalog *Zone) {
	encrypted := func(r TransferRule) bool { return r.TLS != nil }
	plain := func(r TransferRule) bool { return r.TLS == nil }
	at := keyAt(z.Entry.Pos)
	switch {
	case len(z.Transfer.Out) == 0:
		d.warnAt(at, "the zone is in a catalog, and no server may transfer it", "write transfer: {out: [...]} with the secondaries of the catalog")
	case z.Transfer.Pools == RefusePools && len(z.Names) > 0:
		d.warnAt(at, "the zone is in a catalog, and is not transferred: it has balanced names, and transfer.pools is refuse", "leave transfer.pools out, or the catalog")
	case len(catalog.Transfer.Out) > 0 && !slices.ContainsFunc(z.Transfer.Out, plain) && !slices.ContainsFunc(catalog.Transfer.Out, encrypted):
		d.warnAt(at, "the zone is in a catalog, and is transferred over TLS only, unlike its catalog", "write tls in the rules of the catalog too, or a rule without tls here")
	}
}
