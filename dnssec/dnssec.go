// Package dnssec signs the answers of zones with keys of this server.
//
// A Key is one key with its private half. Package dnssec/keys reads and writes their files and plans their rollovers.
package dnssec
