// Package dashboard holds the web page of the admin listener: static files that show the data of
// the API. The files contain no data themselves, so they need no token.
//
//	src          TypeScript and styles
//	third_party  Preact and uPlot
//	build        bundles both into dist
//	dist         the files that the binary embeds
package dashboard

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"sync"
)

//go:generate go run ./build

//go:embed dist
var dist embed.FS

// policy is the content security policy: the page loads nothing from elsewhere, has no inline
// script, and no other page can show it in a frame.
const policy = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"

// file is a file of the dashboard.
type file struct {
	kind         string // content type
	tag          string // ETag
	data, zipped []byte
}

// files returns the files by URL path. They are compressed on the first request.
var files = sync.OnceValue(func() map[string]file {
	all := make(map[string]file)
	entries, err := dist.ReadDir("dist")
	if err != nil {
		panic(err) // the folder is embedded
	}
	for _, e := range entries {
		data, err := fs.ReadFile(dist, path.Join("dist", e.Name()))
		if err != nil {
			panic(err) // as above
		}
		all["/"+e.Name()] = newFile(e.Name(), data)
	}
	all["/"] = all["/index.html"]
	return all
})

func newFile(name string, data []byte) file {
	digest := sha256.Sum256(data)
	return file{
		kind: mime.TypeByExtension(path.Ext(name)),
		tag:  `"` + hex.EncodeToString(digest[:8]) + `"`,
		data: data, zipped: compress(data),
	}
}

// compress compresses data with gzip.
func compress(data []byte) []byte {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		panic(err) // the level is valid
	}
	w.Write(data) //nolint:errcheck // a bytes.Buffer takes everything
	w.Close()     //nolint:errcheck // as above
	return b.Bytes()
}

// Has reports whether the dashboard has a file at a URL path.
func Has(urlPath string) bool {
	_, ok := files()[urlPath]
	return ok
}

// ServeHTTP answers with a file of the dashboard.
func ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f, ok := files()[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-cache")
	h.Set("Vary", "Accept-Encoding")
	h.Set("ETag", f.tag)
	h.Set("Content-Type", f.kind)
	if r.Header.Get("If-None-Match") == f.tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	body := f.data
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		body = f.zipped
	}
	w.Write(body) //nolint:errcheck // the client has gone
}
