package config

import (
	"strings"

	"gopkg.in/yaml.v3"
)

// countries are the ISO 3166-1 alpha-2 codes in use, and XK, the common code for Kosovo. A test of package geo, which
// has the location of each, compares the two lists.
const countries = "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ " +
	"CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR " +
	"GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP " +
	"KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ " +
	"NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW " +
	"SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ " +
	"UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW"

// Countries returns the known country codes, in order.
func Countries() []string { return strings.Fields(countries) }

// isCountry reports whether a code of two upper-case letters is known.
func isCountry(code string) bool {
	return len(code) == 2 && letters(code) && strings.Contains(countries, code)
}

// country reads an ISO 3166-1 alpha-2 code, in either case.
func (d *decoder) country(n *yaml.Node) (string, bool) {
	s, ok := d.scalar(n)
	if !ok {
		return "", false
	}
	if len(s) != 2 || !letters(s) {
		d.errorf(n, quote(s)+" is not a country", "write its two letters (ISO 3166-1), such as DE")
		return "", false
	}
	code := strings.ToUpper(s)
	return code, d.knownCountry(n, code)
}

// knownCountry reports an error if no country has the code.
func (d *decoder) knownCountry(n *yaml.Node, code string) bool {
	if isCountry(code) {
		return true
	}
	hint := "write an ISO 3166-1 code that is in use"
	switch code { // common mistakes
	case "UK":
		hint = "the United Kingdom is GB"
	case "EL":
		hint = "Greece is GR"
	case "EU":
		hint = "write continent: EU, or a group of countries"
	}
	d.errorf(n, "unknown country "+quote(code), hint)
	return false
}

// subdivision reads an ISO 3166-2 code: a country, a hyphen, and one to three letters or digits.
func (d *decoder) subdivision(n *yaml.Node) (string, bool) {
	s, ok := d.scalar(n)
	if !ok {
		return "", false
	}
	if !isSubdivision(s) {
		d.errorf(n, quote(s)+" is not a subdivision", "write its ISO 3166-2 code, such as US-CA")
		return "", false
	}
	code := strings.ToUpper(s)
	return code, d.knownCountry(n, code[:2])
}

func isSubdivision(s string) bool {
	country, part, _ := strings.Cut(s, "-")
	return len(country) == 2 && letters(country) && len(part) >= 1 && len(part) <= 3 && alphanumeric(part)
}
