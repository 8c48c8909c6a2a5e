package config

import (
	"bytes"
	"os"
	"strings"
)

// Document is one file of a configuration.
type Document struct {
	File string
	Text []byte
}

// ReadDocuments reads the files in paths, see Expand, without parsing them.
func ReadDocuments(paths ...string) ([]Document, error) {
	files, errs := Expand(paths...)
	var documents []Document
	for _, file := range files {
		data, release, err := read(file)
		if err != nil {
			errs = append(errs, Error{File: file, What: err.Error()})
			continue
		}
		documents = append(documents, Document{file, bytes.Clone(data)})
		release()
	}
	if len(errs) > 0 {
		return nil, Join(errs)
	}
	return documents, nil
}

// LoadDocuments is Load for files that are already read.
func LoadDocuments(documents []Document) (*Config, []Error, error) {
	if len(documents) == 1 {
		return Parse(documents[0].File, documents[0].Text)
	}
	texts := make([]namedText, len(documents))
	names := make([]string, len(documents))
	size := 0
	for i, d := range documents {
		texts[i], names[i] = namedText{file: d.File, data: d.Text}, d.File
		size += len(d.Text)
	}
	name := strings.Join(names, ", ")
	if size > maxSize {
		return nil, nil, Join([]Error{{File: name, What: tooLong().Error()}})
	}
	return parseSeveral(name, texts, maxWhole, os.LookupEnv)
}
