package main

import (
	"bufio"
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"text/template"

	"meridian/config"
	"meridian/dnsname"
	"meridian/geo"
)

//go:embed init.yaml
var initTemplate string

// initConfig holds the answers for a first configuration, as texts.
type initConfig struct {
	zone        string
	nameservers []string
	endpoints   []string // COUNTRY=ADDRESS
	check       string
	listen      []string
}

// The defaults of the questions: names and addresses that are reserved for documentation.
const (
	exampleZone       = "gslb.example.com"
	exampleNameserver = "192.0.2.53"
	exampleEndpoints  = "DE=192.0.2.10, US=198.51.100.10"
)

// ask asks a question for each answer that no flag has given.
func (f *initConfig) ask(stdin io.Reader, stderr io.Writer) error {
	q := &questions{in: bufio.NewReader(stdin), out: stderr}
	if f.zone == "" {
		f.zone = q.ask("--zone", "The zone that you delegate to this server", exampleZone)
	}
	if len(f.nameservers) == 0 {
		f.nameservers = listOf(q.ask("--nameserver", "The addresses at which resolvers reach this server", ownAddress()))
	}
	if len(f.endpoints) == 0 {
		f.endpoints = listOf(q.ask("--endpoint", "Your endpoints, as COUNTRY=ADDRESS", exampleEndpoints))
	}
	return q.failure()
}

// questions asks on a terminal, or reads the answers from a file.
type questions struct {
	in      *bufio.Reader
	out     io.Writer
	missing []string // flags of questions without an answer
	err     error
}

// ask returns the next line of input, or the default if it is empty. At the end of the input there is no answer, and
// flag is needed: a default would be an example that no operator has seen.
func (q *questions) ask(flag, question, byDefault string) string {
	fmt.Fprintf(q.out, "%s [%s]: ", question, byDefault)
	line, err := q.in.ReadString('\n')
	if line = strings.TrimSpace(line); line != "" {
		return line
	}
	if errors.Is(err, io.EOF) {
		fmt.Fprintln(q.out)
		q.missing = append(q.missing, flag)
	} else if err != nil {
		q.err = err
	}
	return byDefault
}

// failure returns the error of the input, or of the questions without an answer.
func (q *questions) failure() error {
	if q.err == nil && len(q.missing) > 0 {
		return fmt.Errorf("the input ends before all questions are answered; answer them with %s", strings.Join(q.missing, ", "))
	}
	return q.err
}

func listOf(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' })
}

// ownAddress returns an address of this machine that others may reach, or an example.
func ownAddress() string {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return exampleNameserver
	}
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().IsGlobalUnicast() {
			return p.Addr().String()
		}
	}
	return exampleNameserver
}

// initRegion and initMember are entries of a first configuration.
type (
	initRegion struct {
		Name     string
		Lat, Lon float64
	}
	initMember struct {
		Name, Region string
		Addresses    []netip.Addr
	}
)

// text returns the configuration, for a file with a name.
func (f *initConfig) text(file string) ([]byte, error) {
	data := struct {
		File, Zone, Check   string
		State               bool
		Rise, Fall          int
		Listen, Nameservers any
		Regions             []initRegion
		Members             []initMember
	}{File: file, State: strings.HasPrefix(file, "/etc/"), Rise: 2, Fall: 3}
	if file == "" {
		data.File = "meridian.yaml"
	}
	var errs [5]error
	data.Zone, errs[0] = zoneName(f.zone)
	data.Nameservers, errs[1] = parseEach(f.nameservers, "--nameserver", unicastAddress)
	data.Regions, data.Members, errs[2] = endpointsOf(f.endpoints)
	data.Check, errs[3] = checkText(f.check)
	data.Listen, errs[4] = parseEach(f.listen, "--listen", listenAddress)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := template.Must(template.New("init.yaml").Parse(initTemplate)).Execute(&b, data); err != nil {
		return nil, err
	}
	return b.Bytes(), validate(b.Bytes())
}

func zoneName(s string) (string, error) {
	name, err := dnsname.Parse(s)
	if err != nil || name == "." || strings.ContainsAny(string(name), `*\"`) {
		return "", fmt.Errorf("--zone: %q is not the name of a zone; write one such as %s", s, exampleZone)
	}
	return strings.TrimSuffix(string(name), "."), nil
}

// parseEach parses the values of a flag and reports all that are wrong.
func parseEach[T any](values []string, flag string, parse func(string) (T, error)) (all []T, err error) {
	for _, s := range values {
		value, wrong := parse(s)
		if wrong != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", flag, wrong))
			continue
		}
		all = append(all, value)
	}
	return all, err
}

func unicastAddress(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" || a.IsUnspecified() || a.IsMulticast() {
		return a, fmt.Errorf("%q is not the address of a host; write one such as 192.0.2.10 or 2001:db8::10", s)
	}
	return a.Unmap(), nil
}

func listenAddress(s string) (netip.AddrPort, error) {
	a, err := netip.ParseAddrPort(s)
	if err != nil {
		return a, fmt.Errorf("%q is not an address with a port; write one such as 127.0.0.1:5300 or [::]:53", s)
	}
	return a, nil
}

// endpointsOf returns a region for each country, and a member for each endpoint.
func endpointsOf(texts []string) (regions []initRegion, members []initMember, err error) {
	count := map[string]int{}
	for _, s := range texts {
		country, list, _ := strings.Cut(s, "=")
		addresses, wrong := parseEach(strings.Split(list, "+"), "", unicastAddress)
		lat, lon, known := countryCenter(strings.ToUpper(country))
		switch {
		case wrong != nil:
			err = errors.Join(err, fmt.Errorf("--endpoint %q%w, with its country: DE=192.0.2.10", s, wrong))
			continue
		case !known:
			err = errors.Join(err, fmt.Errorf("--endpoint %q: %q is not a country; write its two letters (ISO 3166-1), such as DE", s, country))
			continue
		}
		region := strings.ToLower(country)
		if count[region]++; count[region] == 1 {
			regions = append(regions, initRegion{region, lat, lon})
		}
		members = append(members, initMember{fmt.Sprintf("%s-%d", region, count[region]), region, addresses})
	}
	return regions, members, err
}

// countryCenter returns the center of population of a country.
func countryCenter(code string) (lat, lon float64, ok bool) {
	if !slices.Contains(config.Countries(), code) {
		return 0, 0, false
	}
	here := netip.MustParsePrefix(exampleNameserver + "/32")
	at, err := geo.Open(&config.Config{Geo: config.Geo{Networks: []config.Network{{Prefix: here, Country: code}}}})
	if err != nil {
		return 0, 0, false
	}
	defer at.Close()
	place := at.Locate(here.Addr())
	return place.Lat, place.Lon, place.Country == code
}

// checkText returns the value of a check for a type, and the port that tcp needs.
func checkText(s string) (string, error) {
	kind, port, _ := strings.Cut(s, ":")
	switch {
	case s == "http" || s == "https":
		return fmt.Sprintf("{type: %s, path: /, status: [200-399], interval: 5s, timeout: 2s}", s), nil
	case kind == "tcp" && port != "":
		return fmt.Sprintf("{type: tcp, port: %s, interval: 5s, timeout: 2s}", port), nil
	}
	return "", fmt.Errorf("--check: %q is not a check; write http, https or tcp:PORT", s)
}
