package probe

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// The method of the gRPC health checking protocol, and the largest answer in bytes: the message has two.
const (
	grpcMethod = "/grpc.health.v1.Health/Check"
	maxMessage = 4 << 10
)

// serving is the status of a service: HealthCheckResponse.ServingStatus of grpc.health.v1.
type serving uint64

func (s serving) String() string {
	names := [...]string{"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"}
	if s < serving(len(names)) {
		return names[s]
	}
	return "ServingStatus " + strconv.FormatUint(uint64(s), 10)
}

// probeGRPC passes if the peer's standard health service reports the check's service as serving. The only part of gRPC that
// this needs is one HTTP/2 request with a message of one field each way.
func probeGRPC(ctx context.Context, t *attempt) (string, error) {
	conn, hangUp, err := t.connect(ctx, "tcp", t.check.Port)
	if err != nil {
		return "", err
	}
	defer hangUp()
	scheme := "http"
	if t.check.Secure {
		secure, err := t.handshake(conn, t.peerName(), http2Name)
		if err != nil {
			return "", err
		}
		defer secure.Close()
		conn, scheme = secure, "https"
	}
	resp, err := t.roundTrip2(ctx, conn, t.grpcRequest(scheme))
	if err != nil {
		return "", err
	}
	status, err := t.servingStatus(resp)
	switch {
	case err != nil:
		return "", err
	case status != 1:
		return "", fmt.Errorf("%s is %v, want %v", t.grpcService(), status, serving(1))
	}
	return fmt.Sprintf("%s is %v", t.grpcService(), status), nil
}

func (t *attempt) grpcService() string {
	if t.check.Service == "" {
		return "server"
	}
	return "service " + excerpt(t.check.Service)
}

// grpcRequest builds the request: a length-prefixed HealthCheckRequest, with the service's name in field 1.
func (t *attempt) grpcRequest(scheme string) *http.Request {
	var message []byte
	if t.check.Service != "" {
		message = protowire.AppendTag(message, 1, protowire.BytesType)
		message = protowire.AppendString(message, t.check.Service)
	}
	body := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))) // 0: not compressed
	body = append(body, message...)
	authority := cmp.Or(t.check.Host, t.addr.WithZone("").String())
	port := cmp.Or(t.check.Port, defaultPort(scheme)) // a unix socket has none
	return &http.Request{
		Method: http.MethodPost,
		URL:    &url.URL{Scheme: scheme, Host: net.JoinHostPort(authority, strconv.Itoa(port)), Path: grpcMethod},
		Header: http.Header{
			"Content-Type": {"application/grpc"},
			"Te":           {"trailers"},
			"User-Agent":   {"meridian"},
		},
		Body:          io.NopCloser(bytes.NewReader(body)),
		ContentLength: int64(len(body)),
	}
}

// servingStatus reads the answer. The status of the call itself comes last, in the trailer; without a message, in the
// header.
func (t *attempt) servingStatus(resp *http.Response) (serving, error) {
	kind := resp.Header.Get("Content-Type")
	switch {
	case resp.StatusCode != http.StatusOK:
		return 0, fmt.Errorf("status %d, want a gRPC answer", resp.StatusCode)
	case !strings.HasPrefix(kind, "application/grpc"):
		return 0, fmt.Errorf("content type %s, want application/grpc", excerpt(kind))
	}
	t.begin("body", "reading the answer")
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxMessage+1))
	switch {
	case err != nil:
		return 0, err
	case len(body) > maxMessage:
		return 0, fmt.Errorf("answer longer than %d KiB", maxMessage>>10)
	}
	if err := grpcFailure(resp); err != nil {
		return 0, err
	}
	return parseServing(body)
}

// grpcFailure returns the failed status of the call, or nil.
func grpcFailure(resp *http.Response) error {
	last := resp.Trailer
	if resp.Header.Get("Grpc-Status") != "" {
		last = resp.Header
	}
	text := last.Get("Grpc-Status")
	code, err := strconv.ParseUint(text, 10, 32)
	switch {
	case text == "":
		return errors.New("answer without a gRPC status")
	case err != nil:
		return fmt.Errorf("gRPC status %s, want a number", excerpt(text))
	case code == 0:
		return nil
	}
	message := last.Get("Grpc-Message")
	if plain, err := url.PathUnescape(message); err == nil {
		message = plain
	}
	return fmt.Errorf("gRPC status %s: %s", grpcStatus(code), excerpt(message))
}

// parseServing parses one length-prefixed HealthCheckResponse with the status in field 1; a missing field is 0, UNKNOWN.
func parseServing(body []byte) (serving, error) {
	if len(body) < 5 || body[0] != 0 || int64(binary.BigEndian.Uint32(body[1:])) != int64(len(body)-5) {
		return 0, fmt.Errorf("answer %s is not one uncompressed gRPC message", excerpt(string(body)))
	}
	var status uint64
	for rest := body[5:]; len(rest) > 0; {
		field, kind, n := protowire.ConsumeField(rest)
		if n < 0 || !field.IsValid() {
			return 0, fmt.Errorf("answer %s is not protobuf", excerpt(string(body)))
		}
		if field == 1 && kind == protowire.VarintType {
			_, _, tag := protowire.ConsumeTag(rest)
			status, _ = protowire.ConsumeVarint(rest[tag:])
		}
		rest = rest[n:]
	}
	return serving(status), nil
}

// grpcStatus returns the name of a gRPC status code.
func grpcStatus(code uint64) string {
	names := [...]string{
		"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
		"PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
		"INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
	}
	if code < uint64(len(names)) {
		return names[code]
	}
	return strconv.FormatUint(code, 10)
}
