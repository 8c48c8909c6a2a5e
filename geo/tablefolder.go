package geo

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"meridian/errtext"
)

// tableFolder is the folder of the files of tables; empty: there is none. Each file has the key of its table as name. Another file
// says which schema a database has, so that a start does not read its records again.
type tableFolder string

// The names of files.
const (
	tablesName    = "geo"       // of the folder, in the state directory
	tableSuffix   = ".table"    // of a table
	schemaSuffix  = ".database" // of the schema of a database, by the digest of that
	partialSuffix = ".new"      // of a file that is being written
)

// folder returns the folder of the configuration.
func (l *Locator) folder() tableFolder {
	if l.cfg.State == "" {
		return ""
	}
	return tableFolder(filepath.Join(l.cfg.State, tablesName))
}

func (d tableFolder) path(key tableKey, suffix string) string {
	return filepath.Join(string(d), hex.EncodeToString(key[:])+suffix)
}

// load reads the table of a key. Without one the error is the reason; nil: there is no folder.
func (d tableFolder) load(key tableKey, limit tableLimit) (*Table, error) {
	if d == "" {
		return nil, nil
	}
	f, err := os.Open(d.path(key, tableSuffix))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, errNoFile
	case err != nil:
		return nil, fmt.Errorf("the file of a table: %w", errtext.CannotRead(err))
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil, errDamaged
	}
	return readTable(f, info.Size(), key, limit)
}

// schemaText is the content of the file of a schema.
func schemaText(digest tableKey, schema int) []byte {
	return fmt.Appendf(nil, "meridian geo database %d\n%x\nschema %d\n", tableVersion, digest, schema)
}

// schema returns the schema of a database that has been read without an error.
func (d tableFolder) schema(digest tableKey) (schema int, ok bool) {
	if d == "" {
		return 0, false
	}
	f, err := os.Open(d.path(digest, schemaSuffix))
	if err != nil {
		return 0, false
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 1024))
	for i := range schemaCount {
		if err == nil && bytes.Equal(text, schemaText(digest, i)) {
			return i, true
		}
	}
	return 0, false
}

// SaveTables writes the tables of the Locator into the folder of its configuration, and removes the files of others. The next start
// reads them instead of compiling. Without a state directory it does nothing. It must not run concurrently with Close.
func (l *Locator) SaveTables() error {
	d := l.folder()
	if d == "" {
		return nil
	}
	if err := os.MkdirAll(string(d), 0o700); err != nil {
		return err
	}
	l.keptMu.Lock()
	kept := l.kept[:len(l.kept):len(l.kept)]
	l.keptMu.Unlock()
	changed := l.databaseChanged()
	used := map[string]bool{}
	var errs []error
	write := func(path string, replace bool, content func(io.Writer) error) {
		used[filepath.Base(path)] = true
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && !replace || changed {
			return
		}
		errs = append(errs, writeFile(path, content))
	}
	for _, t := range kept {
		write(d.path(t.key, tableSuffix), t.from == Compiled, func(w io.Writer) error { return t.table.writeTo(w, t.key) })
	}
	if schema, ok := sharedSchema(l.databaseDigest); ok && l.db != nil {
		write(d.path(l.databaseDigest, schemaSuffix), false, func(w io.Writer) error {
			_, err := w.Write(schemaText(l.databaseDigest, schema))
			return err
		})
	}
	return errors.Join(append(errs, d.removeOthers(used))...)
}

// databaseChanged reports whether the database file was overwritten since its digest was computed. A table that was compiled in
// between may be wrong, and must not be found under that digest.
func (l *Locator) databaseChanged() bool {
	if l.db == nil {
		return false
	}
	now, ok := l.db.digest()
	return !ok || now != l.databaseDigest
}

// removeOthers removes the files of tables that are not used.
func (d tableFolder) removeOthers(used map[string]bool) error {
	files, err := os.ReadDir(string(d))
	if err != nil {
		return err
	}
	var errs []error
	for _, f := range files {
		name := strings.TrimSuffix(f.Name(), partialSuffix)
		if !used[f.Name()] && (strings.HasSuffix(name, tableSuffix) || strings.HasSuffix(name, schemaSuffix)) {
			errs = append(errs, os.Remove(filepath.Join(string(d), f.Name())))
		}
	}
	return errors.Join(errs...)
}

// writeFile replaces a file. It is not synced: a file that a crash leaves incomplete is ignored later.
func writeFile(path string, content func(io.Writer) error) error {
	f, err := os.OpenFile(path+partialSuffix, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	buffered := bufio.NewWriterSize(f, 1<<16)
	err = content(buffered)
	if err == nil {
		err = buffered.Flush()
	}
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err == nil {
		err = os.Rename(path+partialSuffix, path)
	}
	if err != nil {
		_ = os.Remove(path + partialSuffix) // free the space on a full disk
	}
	return err
}
