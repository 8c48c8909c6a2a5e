package telemetry

import (
	"strconv"
	"time"

	"github.com/miekg/dns"

	"meridian/server/answer"
)

// decision is the decision behind an answer, as the query log has it.
type decision struct {
	Zone   string `json:"zone,omitempty"`
	Pool   string `json:"pool,omitempty"`
	Member string `json:"member,omitempty"`
	Region string `json:"region,omitempty"`
	Scope  *uint8 `json:"scope,omitempty"`
	Mode   string `json:"mode,omitempty"`
}

func decisionOf(q *answer.LoggedQuery) decision {
	d := decision{Zone: string(q.Zone), Pool: q.Pool, Member: q.Member, Region: q.Region}
	if q.Decided {
		d.Mode = q.Mode.String()
	}
	if q.Echoed {
		d.Scope = &q.Scope
	}
	return d
}

// line is a logged query as JSON. The keys are those of docs/reference/query-log.md.
type line struct {
	Time      time.Time `json:"time"`
	Client    string    `json:"client"`
	ECS       string    `json:"ecs,omitempty"`
	Scope     *uint8    `json:"scope,omitempty"`
	Name      string    `json:"name"`
	Type      string    `json:"type"`
	Rcode     string    `json:"rcode"`
	Transport string    `json:"transport"`
	Zone      string    `json:"zone,omitempty"`
	Pool      string    `json:"pool,omitempty"`
	Member    string    `json:"member,omitempty"`
	Region    string    `json:"region,omitempty"`
	Mode      string    `json:"mode,omitempty"`
	Bytes     int       `json:"bytes"`
}

func lineOf(q *answer.LoggedQuery) line {
	d := decisionOf(q)
	l := line{
		Time: q.Time.UTC(), Client: q.Client.Addr().String(), Scope: d.Scope, Transport: q.Transport.String(),
		Zone: d.Zone, Pool: d.Pool, Member: d.Member, Region: d.Region, Mode: d.Mode, Bytes: len(q.Response),
	}
	if q.Subnet.IsValid() {
		l.ECS = q.Subnet.String()
	}
	l.Name, l.Type = questionOf(q.Query)
	l.Rcode = rcodeOf(q.Response)
	return l
}

// headerSize is the size of the header of a DNS message.
const headerSize = 12

// questionOf returns the name and the type of the first question; empty: there is none, or it is malformed.
func questionOf(query []byte) (name, qtype string) {
	name, end, err := dns.UnpackDomainName(query, headerSize)
	if err != nil || end+2 > len(query) {
		return "", ""
	}
	number := uint16(query[end])<<8 | uint16(query[end+1])
	if known := dns.TypeToString[number]; known != "" {
		return name, known
	}
	return name, "TYPE" + strconv.Itoa(int(number))
}

// rcodeOf returns the name of the extended response code of a response of ours.
func rcodeOf(response []byte) string {
	if len(response) < headerSize {
		return ""
	}
	rcode := int(response[3] & 0xf)
	if rcode == 0 { // only codes above 15 have other bits, in an OPT record (RFC 6891 6.1.3)
		var m dns.Msg
		if response[11] > 0 && response[7] == 0 && m.Unpack(response) == nil {
			rcode = m.Rcode
		}
	}
	return rcodeName(rcode)
}
