package probe

import (
	"context"
	"fmt"
	"strings"

	"meridian/dnsclient"

	"github.com/miekg/dns"
)

// probeDNS passes if the peer answers the check's question with the wanted response code and record. It asks over UDP, and
// again over TCP if the answer is truncated (RFC 7766 5).
func probeDNS(ctx context.Context, t *attempt) (string, error) {
	answer, err := t.query(ctx, "udp")
	if err == nil && answer.Truncated {
		answer, err = t.query(ctx, "tcp")
	}
	if err != nil {
		return "", err
	}
	return t.judgeAnswer(answer)
}

// query asks the check's question once.
func (t *attempt) query(ctx context.Context, network string) (*dns.Msg, error) {
	conn, hangUp, err := t.connect(ctx, network, t.check.Port)
	if err != nil {
		return nil, err
	}
	defer hangUp()
	question := new(dns.Msg)
	question.SetQuestion(string(t.check.Query), t.check.QueryType)
	t.begin("request", "sending the question over "+network)
	if t.trace != nil {
		t.trace.found(fmt.Sprintf("%s %s over %s", t.check.Query, dns.TypeToString[t.check.QueryType], network))
	}
	if err := dnsclient.Send(conn, network, question); err != nil {
		return nil, err
	}
	t.begin("response", "waiting for the answer over "+network)
	answer, err := dnsclient.Await(conn, network, question, func(strays int) error {
		t.doing = fmt.Sprintf("waiting for the answer over %s, after %d unrelated ones", network, strays)
		return nil
	})
	if err == nil && t.trace != nil {
		t.trace.found(dnsclient.RcodeName(answer.Rcode) + ", " + records(len(answer.Answer)))
	}
	return answer, err
}

// judgeAnswer checks the response code, then the records.
func (t *attempt) judgeAnswer(answer *dns.Msg) (string, error) {
	if answer.Rcode != t.check.Rcode {
		return "", fmt.Errorf("response code %s, want %s", dnsclient.RcodeName(answer.Rcode), dnsclient.RcodeName(t.check.Rcode))
	}
	if t.check.Answer == nil {
		return fmt.Sprintf("response code %s, %s", dnsclient.RcodeName(answer.Rcode), records(len(answer.Answer))), nil
	}
	for _, record := range answer.Answer {
		if t.check.Answer.MatchString(recordData(record)) {
			return "answer " + excerpt(recordData(record)), nil
		}
	}
	if len(answer.Answer) == 0 {
		return "", fmt.Errorf("no record in the answer, want one that matches %q", t.check.Answer)
	}
	return "", fmt.Errorf("none of %d records matches %q; the first is %s",
		len(answer.Answer), t.check.Answer, excerpt(recordData(answer.Answer[0])))
}

// records formats a number of records.
func records(n int) string {
	if n == 1 {
		return "1 record"
	}
	return fmt.Sprintf("%d records", n)
}

// recordData formats a record's data as `dig +short` does.
func recordData(record dns.RR) string {
	return strings.TrimPrefix(record.String(), record.Header().String())
}
