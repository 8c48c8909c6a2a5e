package telemetry

import (
	"net/url"
	"strconv"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/proto"

	"meridian/control"
	"meridian/geo"
	"meridian/server/answer"
	"meridian/server/limit"
)

// server sends the metrics of the packet path.
func (c *collection) server(m *control.Measurement) {
	for _, t := range answer.Transports() {
		c.value("queries_total", float64(m.Sources[t][0]), t.String(), "ipv4")
		c.value("queries_total", float64(m.Sources[t][1]), t.String(), "ipv6")
		c.to <- &durationMetric{desc: families["request_duration_seconds"].desc, transport: t.String(), of: m.Durations[t]}
	}
	for rcode, n := range m.Rcodes {
		if n > 0 || rcode <= dns.RcodeRefused {
			c.value("responses_total", float64(n), rcodeName(rcode))
		}
	}
	for i, name := range answer.QueryTypes() {
		c.value("query_types_total", float64(m.Types[i]), name)
	}
	c.value("truncated_total", float64(m.Truncated))
	for reason, n := range map[string]uint64{
		"not_query": m.NotQuery, "too_long": m.TooLong, "port_zero": m.NoReturn, "send_error": m.SendFailed, "send_buffer_full": m.Unsent, "rate_limit": m.RateDropped,
		"proxy_missing": m.Proxy.Missing, "proxy_malformed": m.Proxy.Malformed, "proxy_version_1": m.Proxy.Version1, "proxy_untrusted": m.Proxy.Untrusted,
		"filter": m.FilterDropped, "quarantine": m.Quarantined,
	} {
		c.value("dropped_total", float64(n), reason)
	}
	c.value("panics_total", float64(m.Panics))
	c.value("canary_answers_total", float64(m.Canary))
	c.value("canary_clients_ratio", m.CanaryRatio)
	c.value("canary_failures_total", float64(m.CanaryFailed))
	c.value("slow_path_total", float64(m.SlowPath))
	c.value("fail_open_total", float64(m.FailedOpen))
	c.value("client_subnet_total", float64(m.ECS))
	c.value("client_subnet_ignored_total", float64(m.ECSIgnored))
	c.value("prohibited_total", float64(m.Prohibited))
	for action, n := range map[string]uint64{
		"truncate": m.RateTruncated, "drop": m.RateDropped, "badcookie": m.RateBadCookie, "dry_run": m.RateDryRun,
	} {
		c.value("rate_limited_total", float64(n), action)
	}
	c.filters(m)
	for of, n := range m.Reports {
		c.value("error_reports_total", float64(n), of.Zone, of.Code)
	}
	c.value("error_reports_lost_total", float64(m.ReportLost))
	for kind, n := range m.Floods {
		c.value("floods", float64(n.Present), string(kind))
		c.value("floods_total", float64(n.Begun), string(kind))
	}
	for result, n := range m.Cookies {
		c.value("cookies_total", float64(n), limit.CookieResult(result).String())
	}
	c.value("updates_total", float64(m.UpdatesMade), "made")
	c.value("updates_total", float64(m.UpdatesRefused), "refused")
	c.value("transfers_total", float64(m.TransfersSent), "out", "sent")
	c.value("transfers_total", float64(m.TransfersFailed), "out", "failed")
	c.value("transfers_total", float64(m.TransfersRefused), "out", "refused")
	c.value("notifies_total", float64(m.NotifiesAccepted), "accepted")
	c.value("notifies_total", float64(m.NotifiesRefused), "refused")
	c.xdp(m.XDP)
	c.connections(m)
}

// connections sends the metrics of the connections of clients.
func (c *collection) connections(m *control.Measurement) {
	tcp := &m.Connections[answer.TCP]
	c.value("tcp_accepted_total", float64(tcp.Accepted))
	c.value("tcp_evicted_total", float64(tcp.Evicted))
	c.value("tcp_connections", float64(tcp.Open), answer.TCP.String())
	for _, t := range answer.Transports() {
		if !t.Encrypted() {
			continue
		}
		n := &m.Connections[t]
		c.value("tcp_connections", float64(n.Open), t.String())
		c.value("encrypted_accepted_total", float64(n.Accepted), t.String())
		c.value("encrypted_evicted_total", float64(n.Evicted), t.String())
		c.value("tls_handshakes_total", float64(n.Handshakes), t.String(), "ok")
		c.value("tls_handshakes_total", float64(n.FailedHandshakes), t.String(), "failed")
	}
}

// xdp sends the interfaces of server.xdp.
func (c *collection) xdp(interfaces []control.XDPStatus) {
	for _, x := range interfaces {
		c.value("xdp_attached", oneIf(x.Attached), x.Interface)
		for reason, n := range x.Lost {
			c.value("xdp_lost_total", float64(n), x.Interface, reason)
		}
	}
}

// filters sends the queries of the rules of the filter. A rule that is added at run time may have the name of another.
func (c *collection) filters(m *control.Measurement) {
	counts := map[[2]string]uint64{}
	for i := range m.Filters {
		f := &m.Filters[i]
		counts[[2]string{f.Name, string(f.Action)}] += f.Queries
	}
	for labels, n := range counts {
		c.value("filtered_total", float64(n), labels[:]...)
	}
}

// rcodeName returns the name of a response code.
func rcodeName(rcode int) string {
	if rcode == dns.RcodeBadVers {
		return "BADVERS" // miekg/dns has BADSIG, which shares the number
	}
	if name := dns.RcodeToString[rcode]; name != "" {
		return name
	}
	return strconv.Itoa(rcode)
}

// configuration sends the metrics of the configuration and of operators.
func (c *collection) configuration(m *control.Measurement) {
	c.value("reloads_total", float64(m.Reloads), "success")
	c.value("reloads_total", float64(m.Refusals), "refused")
	c.value("config_info", 1, strconv.FormatUint(m.Generation, 10), m.ConfigHash)
	if m.ConfigSkew >= 0 {
		c.value("cluster_generation_skew", float64(m.ConfigSkew))
	}
	c.value("config_last_reload_successful", oneIf(!m.Refused))
	c.value("config_last_reload_success_timestamp_seconds", seconds(m.LoadedAt))
	c.value("build_panics_total", float64(m.BuildPanics))
	for name, built := range m.GeoBuilt {
		c.value("geo_database_timestamp_seconds", seconds(built), name)
	}
	for _, origin := range geo.Origins() {
		c.value("geo_tables", float64(m.GeoTables.From[origin]), origin.String())
	}
	if l := m.Latency; l != nil {
		c.value("latency_table_rows", float64(l.Rows))
		c.value("latency_table_timestamp_seconds", seconds(l.Written))
	}
	for _, cert := range m.Certificates {
		c.value("server_certificate_expiry_timestamp_seconds", seconds(cert.NotAfter), cert.Cert)
	}
	for _, kind := range control.Kinds() {
		c.value("overrides", float64(m.Overrides[kind.String()]), kind.String())
	}
}

// notifications sends the metrics of the sinks of notify.
func (c *collection) notifications(m *control.Measurement) {
	results, lost := map[[2]string]uint64{}, uint64(0)
	for i := range m.Notify {
		n := &m.Notify[i]
		lost += n.Lost
		sink := sinkLabel(n.Sink)
		results[[2]string{sink, "delivered"}] += n.Delivered
		results[[2]string{sink, "failed"}] += n.Failed
		results[[2]string{sink, "rejected"}] += n.Rejected
	}
	for labels, n := range results {
		c.value("notify_total", float64(n), labels[:]...)
	}
	c.value("events_dropped_total", float64(lost))
}

// sinkLabel returns the scheme and host of a sink's URL: its path often holds a secret.
func sinkLabel(sink string) string {
	u, err := url.Parse(sink)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

func oneIf(condition bool) float64 {
	if condition {
		return 1
	}
	return 0
}

// seconds returns a time in Unix seconds.
func seconds(at time.Time) float64 { return float64(at.UnixMilli()) / 1e3 }

// durationMetric is a histogram with native and classic buckets.
type durationMetric struct {
	desc      *prometheus.Desc
	transport string
	of        answer.Durations
}

// Desc returns the description of the histogram.
func (m *durationMetric) Desc() *prometheus.Desc { return m.desc }

// Write fills in the histogram.
func (m *durationMetric) Write(to *dto.Metric) error {
	to.Label = []*dto.LabelPair{{Name: proto.String("transport"), Value: proto.String(m.transport)}}
	h := &dto.Histogram{
		SampleCount: proto.Uint64(m.of.Count), SampleSum: proto.Float64(m.of.Seconds),
		Schema: proto.Int32(answer.NativeSchema), ZeroThreshold: proto.Float64(0), ZeroCount: proto.Uint64(0),
	}
	sum := uint64(0)
	for i, bound := range answer.DurationBounds() {
		if len(m.of.Classic) > 0 {
			sum += m.of.Classic[i]
		}
		h.Bucket = append(h.Bucket, &dto.Bucket{CumulativeCount: proto.Uint64(sum), UpperBound: proto.Float64(bound)})
	}
	h.PositiveSpan, h.PositiveDelta = nativeBuckets(m.of.Native)
	to.Histogram = h
	return nil
}
