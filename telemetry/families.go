package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"
)

// namespace begins the name of every metric of ours.
const namespace = "meridian_"

// family is a metric with its labels.
type family struct {
	kind   prometheus.ValueType
	labels []string
	help   string
	desc   *prometheus.Desc
}

const (
	counter = prometheus.CounterValue
	gauge   = prometheus.GaugeValue
	// histogram marks the histograms, which are not collected by value.
	histogram = prometheus.UntypedValue
)

// families holds every metric by its name without the namespace. Do not change it.
var families = describe(map[string]family{
	"queries_total":         {kind: counter, labels: []string{"transport", "family"}, help: "Messages received, by transport and address family of the source."},
	"responses_total":       {kind: counter, labels: []string{"rcode"}, help: "Responses, by response code."},
	"query_types_total":     {kind: counter, labels: []string{"type"}, help: "Messages received, by query type."},
	"truncated_total":       {kind: counter, help: "Responses with TC set."},
	"dropped_total":         {kind: counter, labels: []string{"reason"}, help: "Messages without a response, by reason."},
	"panics_total":          {kind: counter, help: "Queries answered SERVFAIL because of a panic."},
	"slow_path_total":       {kind: counter, help: "Responses of the slow path."},
	"canary_answers_total":  {kind: counter, help: "Responses to clients of a canary, the share of the clients that gets another generation."},
	"canary_failures_total": {kind: counter, help: "Of these, SERVFAIL."},
	"canary_clients_ratio":  {kind: gauge, help: "Share of the clients that gets another generation than the one that serves; 0: none does."},
	"fail_open_total":       {kind: counter, help: "Responses from a pool that failed open."},
	"client_subnet_total":   {kind: counter, help: "Queries with a client subnet (ECS)."},

	"client_subnet_ignored_total": {kind: counter, help: "Queries whose client subnet is not used, because the source is not in server.ecs_from."},
	"prohibited_total":            {kind: counter, help: "Queries refused because allow and deny of their zone exclude the source."},
	"error_reports_total":         {kind: counter, labels: []string{"zone", "code"}, help: "Reports of resolvers about errors with answers, by zone of the name (other: none of ours) and code of the extended error (other: not assigned; invalid: the report is malformed)."},
	"error_reports_lost_total":    {kind: counter, help: "Reports of resolvers that there was no room for."},
	"cookies_total":               {kind: counter, labels: []string{"result"}, help: "Queries with a DNS cookie, by result: new (no server cookie yet), valid, invalid."},
	"rate_limited_total":          {kind: counter, labels: []string{"action"}, help: "Answers over the limit of server.rate_limit, by what was done: truncate, drop, badcookie, or dry_run (answered as usual)."},
	"floods":                      {kind: gauge, labels: []string{"kind"}, help: "Present floods: what is asked for far more than usual, by kind: source, name, zone, type."},
	"floods_total":                {kind: counter, labels: []string{"kind"}, help: "Floods that have begun."},
	"filtered_total":              {kind: counter, labels: []string{"rule", "action"}, help: "Queries that matched a rule of the filter, since the rule is there."},
	"xdp_attached":                {kind: gauge, labels: []string{"interface"}, help: "1 if UDP queries of an interface of server.xdp are answered through AF_XDP, 0 if by sockets."},
	"xdp_lost_total":              {kind: counter, labels: []string{"interface", "reason"}, help: "Packets of an interface of server.xdp that were lost: ring_full and no_frames (the server is too slow), unsent (the interface is), invalid (refused by the kernel), malformed, checksum."},
	"tcp_accepted_total":          {kind: counter, help: "TCP connections accepted."},
	"updates_total":               {kind: counter, labels: []string{"result"}, help: "Dynamic updates of zones: made, or refused."},
	"transfers_total":             {kind: counter, labels: []string{"direction", "result"}, help: "Zone transfers that were asked for: sent, failed before their end, or refused."},
	"notifies_total":              {kind: counter, labels: []string{"result"}, help: "Notifications of changed zones received: accepted from a primary, or refused."},
	"catalog_members":             {kind: gauge, labels: []string{"catalog", "state"}, help: "Zones that a catalog of another server has here: listed, or left: served until the removal grace ends."},
	"catalog_conflicts":           {kind: gauge, labels: []string{"catalog"}, help: "Zones that a catalog of another server lists and that are not served for it."},
	"secondary_ready":             {kind: gauge, labels: []string{"zone"}, help: "1 if a zone that comes from primaries is served, 0 if it waits for its first transfer or has expired; an empty zone: the one that expires first, without detail."},
	"secondary_serial":            {kind: gauge, labels: []string{"zone"}, help: "Serial of the copy of a zone that comes from primaries."},
	"secondary_confirmed_seconds": {kind: gauge, labels: []string{"zone"}, help: "Seconds since a primary last had the serial of the copy."},
	"secondary_expiry_seconds":    {kind: gauge, labels: []string{"zone"}, help: "Seconds until the copy expires unless a primary confirms it; negative: since it has."},
	"secondary_failures":          {kind: gauge, labels: []string{"zone"}, help: "Consecutive checks in which no primary had the zone in a usable form."},
	"tcp_evicted_total":           {kind: counter, help: "TCP connections closed for a new one at a limit."},
	"tcp_connections":             {kind: gauge, labels: []string{"transport"}, help: "Open connections."},

	"encrypted_accepted_total":                    {kind: counter, labels: []string{"transport"}, help: "Connections of encrypted transports accepted."},
	"encrypted_evicted_total":                     {kind: counter, labels: []string{"transport"}, help: "Connections of encrypted transports closed for a new one at a limit."},
	"server_certificate_expiry_timestamp_seconds": {kind: gauge, labels: []string{"cert"}, help: "End of the validity of a certificate of the encrypted transports."},
	"tls_handshakes_total":                        {kind: counter, labels: []string{"transport", "result"}, help: "TLS handshakes by result: ok or failed."},

	"request_duration_seconds": {kind: histogram, labels: []string{"transport"}, help: "Time from receiving a query to sending its response; one batch of queries in 64 is timed."},

	"dnssec_signatures_total":      {kind: counter, help: "Signatures made."},
	"dnssec_cache_hits_total":      {kind: counter, help: "Signatures of answers that were in the cache."},
	"dnssec_cache_misses_total":    {kind: counter, help: "Signatures of answers that were not in the cache."},
	"dnssec_cache_entries":         {kind: gauge, help: "Signatures in the cache, expired ones included."},
	"dnssec_cache_evictions_total": {kind: counter, help: "Valid signatures that left the cache for others."},
	"dnssec_sign_seconds":          {kind: histogram, help: "Time to make a signature, from when it is wanted."},
	"dnssec_queue_full_total":      {kind: counter, help: "Queries answered with TC or SERVFAIL because a signature was not made in time."},
	"dnssec_key":                   {kind: gauge, labels: []string{"zone", "tag", "role", "state"}, help: "1 for each key of a signed zone."},
	"dnssec_rrsig_expiry_seconds":  {kind: gauge, labels: []string{"zone"}, help: "Seconds until the first of the signatures of a zone's SOA and DNSKEY records that are served now expires, or in a presigned zone the first of all; an empty zone: of all zones, without detail."},
	"dnssec_ds_seen":               {kind: gauge, labels: []string{"zone"}, help: "1 if all servers of the parent had the DS of the zone's newest KSK or CSK, else 0."},

	"zone_queries_total":   {kind: counter, labels: []string{"zone"}, help: "Queries for names in a zone; an empty zone: in zones that are no longer configured, or without detail."},
	"pool_answers_total":   {kind: counter, labels: []string{"pool", "mode"}, help: "Decisions of a pool that a name is bound to, by mode."},
	"member_answers_total": {kind: counter, labels: []string{"pool", "member", "region"}, help: "Answers with an address or alias of a member; an empty member: of members that are no longer configured, or without detail."},

	"endpoint_up":                          {kind: gauge, labels: []string{"check", "address"}, help: "1 if answers treat the address as up, else 0."},
	"member_eligible":                      {kind: gauge, labels: []string{"pool", "member"}, help: "1 if the member may be answered for both address families, else 0."},
	"pool_live":                            {kind: gauge, labels: []string{"pool"}, help: "1 if the pool is live for both address families, else 0."},
	"pool_mode":                            {kind: gauge, labels: []string{"pool", "mode"}, help: "1 if the pool answers in this mode for an address family, else 0."},
	"pool_eligible_members":                {kind: gauge, labels: []string{"pool"}, help: "Members that may be answered, for the address family with fewer of them."},
	"pool_ejections_deferred":              {kind: gauge, labels: []string{"pool"}, help: "Members that are down and treated as up by max_ejection."},
	"load_ratio":                           {kind: gauge, labels: []string{"pool", "member"}, help: "Reported load of a member, divided by its capacity."},
	"overrides":                            {kind: gauge, labels: []string{"kind"}, help: "Active overrides, by kind."},
	"probes_total":                         {kind: counter, labels: []string{"check", "result"}, help: "Probes, by result."},
	"probe_duration_seconds":               {kind: histogram, labels: []string{"check"}, help: "Duration of probes that passed."},
	"state_changes_total":                  {kind: counter, labels: []string{"check", "to"}, help: "Health state changes of addresses."},
	"certificate_expiry_timestamp_seconds": {kind: gauge, labels: []string{"check", "address"}, help: "Time at which the certificate that probes see, or another of its chain, expires; without detail, the first of a check."},
	"last_probe_timestamp_seconds":         {kind: gauge, help: "Time of the last result of any probe."},

	"cluster_vantages":               {kind: gauge, help: "Nodes and agents that cluster.trust names, this one included."},
	"cluster_vantages_fresh":         {kind: gauge, help: "Nodes and agents of the cluster whose opinions count, this one included."},
	"cluster_vantage_fresh":          {kind: gauge, labels: []string{"node", "kind"}, help: "1 if the opinions of a node or agent count, else 0; kind: node, or agent if it has been seen as one."},
	"cluster_etcd_connected":         {kind: gauge, help: "1 while the node reads from etcd, else 0."},
	"cluster_mode":                   {kind: gauge, labels: []string{"mode"}, help: "1 for how the node shares what it knows, else 0: etcd; direct or alone while etcd cannot be reached."},
	"cluster_direct_requests_total":  {kind: counter, labels: []string{"result"}, help: "Requests to other nodes while etcd cannot be reached, by result: answered, failed."},
	"cluster_direct_refused_total":   {kind: counter, labels: []string{"reason"}, help: "Direct requests of other nodes and agents that were refused, by reason: untrusted, malformed, version, too_many, connections, handshakes."},
	"cluster_publications_total":     {kind: counter, help: "Transactions in which the node has published its opinions and heartbeats."},
	"cluster_blocks_rejected_total":  {kind: counter, labels: []string{"reason"}, help: "Messages of other nodes that were rejected, by reason: malformed, version, unknown_vantage, signature, replay, clock."},
	"cluster_disagreements_total":    {kind: counter, help: "Times that a node had other results than this one for the same probes."},
	"cluster_inputs_given":           {kind: gauge, labels: []string{"kind"}, help: "Load reports and targets of this node that another node of the cluster gives, by kind: loads, targets."},
	"cluster_input_writes_total":     {kind: counter, help: "Transactions in which the node has published load reports, the state of load controllers and addresses of targets."},
	"cluster_records_rejected_total": {kind: counter, labels: []string{"kind", "reason"}, help: "Records of shared overrides and of the shared configuration in etcd that were rejected, by reason: malformed, version; of the configuration also unknown_vantage, signature."},
	"cluster_inputs_rejected_total":  {kind: counter, labels: []string{"reason"}, help: "Records of load reports and targets of other nodes that were rejected, by reason: malformed, oversized, version, unknown_vantage, signature, replay."},
	"cluster_generation_skew":        {kind: gauge, help: "Nodes of the cluster that serve another configuration than they should."},
	"cluster_clock_skew_seconds":     {kind: gauge, labels: []string{"node"}, help: "The clock of a node less that of this node, at its last heartbeat."},

	"reloads_total":                 {kind: counter, labels: []string{"result"}, help: "Reloads, by result."},
	"config_info":                   {kind: gauge, labels: []string{"generation", "hash"}, help: "The configuration that serves: its number among those that have served, and a hash of its files."},
	"config_last_reload_successful": {kind: gauge, help: "1 if the present configuration serves, 0 if it was refused and an older one serves."},
	"config_last_reload_success_timestamp_seconds": {kind: gauge, help: "Time at which the configuration that serves was loaded."},
	"geo_tables":                      {kind: gauge, labels: []string{"origin"}, help: "Geo tables that the configuration compiled, loaded from the state directory or reused."},
	"geo_database_timestamp_seconds":  {kind: gauge, labels: []string{"database"}, help: "Time at which a geo database was built."},
	"latency_table_rows":              {kind: gauge, help: "Rows of the latency table in use; 0 while it is older than max_age and distance decides."},
	"latency_table_timestamp_seconds": {kind: gauge, help: "Time at which the latency table in use was written."},
	"build_panics_total":              {kind: counter, help: "Panics while a configuration or its pools were built."},
	"build_info":                      {kind: gauge, labels: []string{"version"}, help: "The version of this binary."},
	"metrics_detail":                  {kind: gauge, labels: []string{"detail"}, help: "The detail that is exported."},
	"notify_total":                    {kind: counter, labels: []string{"sink", "result"}, help: "Events sent to a sink of notify, by result; to an Alertmanager requests."},
	"events_dropped_total":            {kind: counter, help: "Events that a sink of notify should have and lost."},
	"querylog_dropped_total":          {kind: counter, help: "Queries that the query log should have and lost."},
})

// describe completes families.
func describe(all map[string]family) map[string]family {
	for name, f := range all {
		f.desc = prometheus.NewDesc(namespace+name, f.help, f.labels, nil)
		all[name] = f
	}
	return all
}

// collection sends metrics to a registry.
type collection struct{ to chan<- prometheus.Metric }

// value sends one series of a family.
func (c *collection) value(name string, value float64, labels ...string) {
	f := families[name]
	c.send(f.desc, f.kind, value, labels)
}

func (c *collection) send(desc *prometheus.Desc, kind prometheus.ValueType, value float64, labels []string) {
	metric, err := prometheus.NewConstMetric(desc, kind, value, labels...)
	if err != nil { // a label that is not UTF-8
		metric = prometheus.NewInvalidMetric(desc, err)
	}
	c.to <- metric
}
