package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/template"
)

// writePeers renders every file in the folders dir/PEER into the model's data
// folder. Peers share the *.tmpl files in dir itself. Without a database, it leaves out the
// peers that need one, and prints a note.
func writePeers(dir string, peers []string, m model, notes io.Writer) error {
	shared, err := template.New("").Funcs(template.FuncMap{"lower": strings.ToLower}).ParseGlob(filepath.Join(dir, "*.tmpl"))
	if err != nil {
		return err
	}
	for _, peer := range peers {
		err := writePeer(shared, dir, peer, m)
		if errors.Is(err, errNoCity) {
			fmt.Fprintf(notes, "gen: leaving out %s: it %v\n", peer, errNoCity)
			err = os.RemoveAll(filepath.Join(m.Data, peer))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func writePeer(shared *template.Template, dir, peer string, m model) error {
	return filepath.WalkDir(filepath.Join(dir, peer), func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		inside, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		out := filepath.Join(m.Data, inside)
		if d.IsDir() {
			return os.MkdirAll(out, 0o755)
		}
		return render(shared, path, out, m)
	})
}

// render executes the template in path into the file out.
func render(shared *template.Template, path, out string, m model) error {
	t, err := template.Must(shared.Clone()).ParseFiles(path)
	if err != nil {
		return err
	}
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriter(f)
	if err := t.ExecuteTemplate(w, filepath.Base(path), m); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Close()
}
