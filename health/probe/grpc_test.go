package probe

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	grpctls "google.golang.org/grpc/credentials"
	grpchealth "google.golang.org/grpc/health"
	pb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/proto"

	"meridian/config"
)

func grpcCheck(e *endpoint) config.Check {
	return config.Check{
		Name: "api", Type: config.GRPC, Port: int(e.Port()),
		Interval: 5 * time.Second, Timeout: 5 * time.Second, Rise: 2, Fall: 3,
	}
}

// grpcServer starts a real server with the given service statuses.
func grpcServer(t *testing.T, cert *tls.Certificate, services map[string]pb.HealthCheckResponse_ServingStatus) *endpoint {
	t.Helper()
	return &endpoint{AddrPort: netip.MustParseAddrPort(grpcServerOn(t, "tcp", "127.0.0.1:0", cert, services))}
}

// grpcServerOn starts a grpcServer on an address of a network and returns its address.
func grpcServerOn(t *testing.T, network, address string, cert *tls.Certificate, services map[string]pb.HealthCheckResponse_ServingStatus) string {
	t.Helper()
	var options []grpc.ServerOption
	if cert != nil {
		options = append(options, grpc.Creds(grpctls.NewServerTLSFromCert(cert)))
	}
	s := grpc.NewServer(options...)
	if services != nil {
		h := grpchealth.NewServer()
		for name, status := range services {
			h.SetServingStatus(name, status)
		}
		pb.RegisterHealthServer(s, h)
	}
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); s.Serve(l) }()
	t.Cleanup(func() { s.Stop(); <-done })
	return l.Addr().String()
}

func TestGRPCProbesOfRealServer(t *testing.T) {
	a := newAuthority(t)
	cert := a.issue(t, nil)
	long := strings.Repeat("x", 300)
	services := map[string]pb.HealthCheckResponse_ServingStatus{
		"":      pb.HealthCheckResponse_SERVING,
		"good":  pb.HealthCheckResponse_SERVING,
		"sick":  pb.HealthCheckResponse_NOT_SERVING,
		"young": pb.HealthCheckResponse_UNKNOWN,
		long:    pb.HealthCheckResponse_SERVING,
	}
	plain, secure, without := grpcServer(t, nil, services), grpcServer(t, &cert, services), grpcServer(t, nil, nil)
	overTLS := func(c *config.Check) { c.Secure, c.TLS.CA = true, a.file }
	cases := []struct {
		name    string
		server  *endpoint
		service string
		change  func(*config.Check)
		want    Outcome
		reason  string // a prefix
	}{
		{name: "the server as a whole", server: plain, want: Passed, reason: "server is SERVING"},
		{name: "a service", server: plain, service: "good", want: Passed, reason: `service "good" is SERVING`},
		{name: "a service with a long name", server: plain, service: long, want: Passed, reason: `service "xxx`},
		{name: "a service that is sick", server: plain, service: "sick", want: Failed, reason: `service "sick" is NOT_SERVING, want SERVING`},
		{name: "a service without a status yet", server: plain, service: "young", want: Failed, reason: `service "young" is UNKNOWN, want SERVING`},
		{name: "a service that there is not", server: plain, service: "none", want: Failed, reason: `gRPC status NOT_FOUND: "unknown service"`},
		{name: "no health service", server: without, want: Failed, reason: `gRPC status UNIMPLEMENTED: "unknown service grpc.health.v1.Health"`},
		{name: "over TLS, verified by address", server: secure, service: "good", change: overTLS, want: Passed, reason: `service "good" is SERVING`},
		{
			name: "over TLS, verified by name", server: secure, want: Passed, reason: "server is SERVING",
			change: func(c *config.Check) { overTLS(c); c.Host = "www.example.com" },
		},
		{
			name: "over TLS, for another name", server: secure, want: Failed, reason: `certificate is for "www.example.com", "127.0.0.1", want "b.example"`,
			change: func(c *config.Check) { overTLS(c); c.Host = "b.example" },
		},
		{name: "over TLS where there is none", server: plain, change: overTLS, want: Failed, reason: `peer does not speak TLS`},
		{name: "in clear where there is TLS", server: secure, want: Failed, reason: ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			check := grpcCheck(c.server)
			check.Service = c.service
			if c.change != nil {
				c.change(&check)
			}
			r := probeOnce(t, check, c.server)
			if r.Outcome != c.want || !strings.HasPrefix(r.Reason, c.reason) {
				t.Errorf("%v: %s\nwant %v: %s", r.Outcome, r.Reason, c.want, c.reason)
			}
		})
	}
}

// TestGRPCProbesOfInvalidAnswers probes an HTTP/2 server that sends the answer of the case.
func TestGRPCProbesOfInvalidAnswers(t *testing.T) {
	serving := "\x00\x00\x00\x00\x02\x08\x01"
	type answer struct {
		status  int
		kind    string
		body    string
		trailer [2]string // of grpc-status and grpc-message
		hang    bool
		endless bool
	}
	ok := [2]string{"0", ""}
	const kind = "application/grpc"
	cases := []struct {
		name   string
		answer answer
		want   Outcome
		reason string
	}{
		{"a good one", answer{200, kind, serving, ok, false, false}, Passed, "server is SERVING"},
		{"a good one of a subtype", answer{200, kind + "+proto", serving, ok, false, false}, Passed, "server is SERVING"},
		{"a good one with fields of later versions", answer{200, kind, "\x00\x00\x00\x00\x07\x12\x01x\x08\x01\x18\x05", ok, false, false}, Passed, "server is SERVING"},
		{"an empty message", answer{200, kind, "\x00\x00\x00\x00\x00", ok, false, false}, Failed, "server is UNKNOWN, want SERVING"},
		{"a status of later versions", answer{200, kind, "\x00\x00\x00\x00\x02\x08\x09", ok, false, false}, Failed, "server is ServingStatus 9, want SERVING"},
		{"no page", answer{404, "text/plain", "no", ok, false, false}, Failed, "status 404, want a gRPC answer"},
		{"a page", answer{200, "text/html", "<html>", ok, false, false}, Failed, `content type "text/html", want application/grpc`},
		{"no trailer", answer{200, kind, serving, [2]string{}, false, false}, Failed, "answer without a gRPC status"},
		{"a status that is no number", answer{200, kind, serving, [2]string{"ok\x1b", ""}, false, false}, Failed, ""},
		{"a status without a name", answer{200, kind, "", [2]string{"77", "who%20knows"}, false, false}, Failed, `gRPC status 77: "who knows"`},
		{"a message that is badly escaped", answer{200, kind, "", [2]string{"14", "50% down"}, false, false}, Failed, `gRPC status UNAVAILABLE: "50% down"`},
		{"no message", answer{200, kind, "", ok, false, false}, Failed, `answer "" is not one uncompressed gRPC message`},
		{"a compressed message", answer{200, kind, "\x01\x00\x00\x00\x02\x08\x01", ok, false, false}, Failed, `answer "\x01\x00\x00\x00\x02\b\x01" is not one uncompressed gRPC message`},
		{"a message that is cut short", answer{200, kind, "\x00\xff\xff\xff\xff\x08\x01", ok, false, false}, Failed, `answer "\x00\xff\xff\xff\xff\b\x01" is not one uncompressed gRPC message`},
		{"two messages", answer{200, kind, serving + serving, ok, false, false}, Failed, `answer "\x00\x00\x00\x00\x02\b\x01\x00\x00\x00\x00\x02\b\x01" is not one uncompressed gRPC message`},
		{"a message of garbage", answer{200, kind, "\x00\x00\x00\x00\x02\xff\xff", ok, false, false}, Failed, `answer "\x00\x00\x00\x00\x02\xff\xff" is not protobuf`},
		{"a long message", answer{200, kind, strings.Repeat("x", maxMessage+1), ok, false, false}, Failed, "answer longer than 4 KiB"},
		{"messages without end", answer{200, kind, "", ok, false, true}, Failed, "answer longer than 4 KiB"},
		{"a hang in the body", answer{200, kind, serving, ok, true, false}, Failed, "timeout after 750ms while reading the answer"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", c.answer.kind)
				w.Header().Set("Trailer", "Grpc-Status, Grpc-Message")
				w.WriteHeader(c.answer.status)
				fmt.Fprint(w, c.answer.body)
				for c.answer.endless && r.Context().Err() == nil {
					w.Write(make([]byte, 1024))
				}
				if c.answer.hang {
					w.(http.Flusher).Flush()
					<-r.Context().Done()
				}
				for i, name := range []string{"Grpc-Status", "Grpc-Message"} {
					if c.answer.trailer[i] != "" {
						w.Header().Set(name, c.answer.trailer[i])
					}
				}
			}))
			s.Config.Protocols = new(http.Protocols)
			s.Config.Protocols.SetUnencryptedHTTP2(true)
			s.Start()
			t.Cleanup(s.Close)
			e := &endpoint{AddrPort: netip.MustParseAddrPort(s.Listener.Addr().String())}
			check := grpcCheck(e)
			if c.answer.hang {
				hurry(&check)
			}
			r := probeOnce(t, check, e)
			if c.reason == "" {
				c.reason = r.Reason
			}
			want(t, r, c.want, c.reason)
		})
	}
}

func TestGRPCProbesOfOtherProtocols(t *testing.T) {
	for name, handle := range map[string]func(net.Conn){
		"HTTP/1.1": says(page("200 OK", "")), "noise": endless("\x00\xff\x1b"), "silence": silent,
		"a hang-up": func(net.Conn) {}, "a reset": resets, "drips": drips("\x00"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := serve(t, handle)
			check := grpcCheck(e)
			hurry(&check)
			if r := probeOnce(t, check, e); r.Outcome != Failed || r.Reason == "" {
				t.Errorf("%v: %s", r.Outcome, r.Reason)
			}
		})
	}
}

// TestGRPCNamesMatchLibrary compares the names of statuses and codes with the protocol's own library.
func TestGRPCNamesMatchLibrary(t *testing.T) {
	for number, name := range pb.HealthCheckResponse_ServingStatus_name {
		if got := serving(number).String(); got != name {
			t.Errorf("status %d is %s, want %s", number, got, name)
		}
	}
	for code := codes.OK; code <= codes.Unauthenticated; code++ {
		var named codes.Code
		if err := named.UnmarshalJSON([]byte(`"` + grpcStatus(uint64(code)) + `"`)); err != nil || named != code {
			t.Errorf("code %d is %s: %v", code, grpcStatus(uint64(code)), err)
		}
	}
}

// FuzzGRPCMessage compares parseServing with the protocol's own library.
func FuzzGRPCMessage(f *testing.F) {
	for _, seed := range []string{"", "\x08\x01", "\x08\x02", "\x08\xff\xff\x7f", "\x12\x01x\x08\x01", "\x08\x01\x08\x02", "\x0b\x0c", "\xff"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		if len(message) > maxMessage {
			return
		}
		body := append([]byte{0, 0, 0, byte(len(message) >> 8), byte(len(message))}, message...)
		got, err := parseServing(body)
		var want pb.HealthCheckResponse
		wantErr := proto.Unmarshal(message, &want)
		if (err != nil) != (wantErr != nil) {
			t.Fatalf("%x: %v, want %v", message, err, wantErr)
		}
		if err == nil && int32(got) != int32(want.GetStatus()) {
			t.Errorf("%x: %v, want %v", message, got, want.GetStatus())
		}
	})
}
