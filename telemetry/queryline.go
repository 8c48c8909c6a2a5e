package telemetry

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/miekg/dns"

	"meridian/server/answer"
)

// appendLine appends a logged query as a JSON object. The keys are those of docs/reference/query-log.md. A server may log
// thousands of queries a second, and encoding/json takes several times as long.
func appendLine(b []byte, q *answer.LoggedQuery) []byte {
	b = append(b, `{"time":"`...)
	b = q.Time.UTC().AppendFormat(b, time.RFC3339Nano)
	b = append(b, `","client":"`...)
	b = append(q.Client.Addr().AppendTo(b), '"')
	if q.Subnet.IsValid() {
		b = append(b, `,"ecs":"`...)
		b = append(q.Subnet.AppendTo(b), '"')
	}
	b = appendScope(b, q)
	name, qtype := questionOf(q.Query)
	b = appendMember(b, "name", name)
	b = appendMember(b, "type", qtype)
	b = appendMember(b, "rcode", rcodeOf(q.Response))
	b = appendMember(b, "transport", q.Transport.String())
	b = appendDecision(b, q)
	b = append(b, `,"bytes":`...)
	return append(strconv.AppendInt(b, int64(len(q.Response)), 10), '}')
}

// appendExtra appends the decision behind an answer as a JSON object, which dnstap has as extra.
func appendExtra(b []byte, q *answer.LoggedQuery) []byte {
	begin := len(b)
	b = appendScope(appendDecision(b, q), q)
	if len(b) == begin {
		return append(b, "{}"...)
	}
	b[begin] = '{' // in place of the first comma
	return append(b, '}')
}

// appendDecision appends the members of an object with the decision behind an answer, each after a comma.
func appendDecision(b []byte, q *answer.LoggedQuery) []byte {
	b = appendOptional(b, "zone", string(q.Zone))
	b = appendOptional(b, "pool", q.Pool)
	b = appendOptional(b, "member", q.Member)
	b = appendOptional(b, "region", q.Region)
	if q.Decided {
		b = appendMember(b, "mode", q.Mode.String())
	}
	return b
}

func appendScope(b []byte, q *answer.LoggedQuery) []byte {
	if !q.Echoed {
		return b
	}
	b = append(b, `,"scope":`...)
	return strconv.AppendUint(b, uint64(q.Scope), 10)
}

// appendOptional appends a member unless its value is empty.
func appendOptional(b []byte, key, value string) []byte {
	if value == "" {
		return b
	}
	return appendMember(b, key, value)
}

func appendMember(b []byte, key, value string) []byte {
	b = append(b, ',', '"')
	b = append(b, key...)
	b = append(b, '"', ':')
	for i := range len(value) {
		if c := value[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			text, _ := json.Marshal(value) // of a string, which never fails
			return append(b, text...)
		}
	}
	b = append(b, '"')
	b = append(b, value...)
	return append(b, '"')
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
