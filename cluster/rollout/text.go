package rollout

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
)

const (
	// chunkSize keeps a request below the limit of etcd, 1.5 MiB.
	chunkSize = 512 << 10
	// maxText is the longest text of a configuration.
	maxText = 64 << 20
)

// compress returns the compressed text and its identity.
func compress(text string) (data []byte, content string, err error) {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err = io.WriteString(w, text)
	if err = errors.Join(err, w.Close()); err != nil {
		return nil, "", err
	}
	sum := sha256.Sum256(b.Bytes())
	return b.Bytes(), hex.EncodeToString(sum[:]), nil
}

// expand returns the text of a manifest from its compressed form.
func expand(m *Manifest, data []byte) (string, error) {
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != m.Content {
		return "", errors.New("its chunks do not match the manifest")
	}
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(io.LimitReader(r, maxText+1))
	switch {
	case err != nil:
		return "", err
	case len(text) > maxText:
		return "", fmt.Errorf("it is longer than %d bytes", maxText)
	case HashText(string(text)) != m.Hash:
		return "", errors.New("its text does not match its hash")
	}
	return string(text), nil
}

func chunkKey(content string, number int) string {
	return fmt.Sprintf("%s%s/%04d", blobs, content, number)
}

// writeText stores the compressed text of a generation and completes its manifest.
func (n *Node) writeText(ctx context.Context, m *Manifest, text string) error {
	if len(text) > maxText {
		return fmt.Errorf("the configuration is longer than %d bytes", maxText)
	}
	data, content, err := compress(text)
	if err != nil {
		return err
	}
	m.Hash, m.Content, m.Size = HashText(text), content, len(data)
	for m.Chunks = 0; m.Chunks*chunkSize < len(data); m.Chunks++ {
		part := data[m.Chunks*chunkSize : min((m.Chunks+1)*chunkSize, len(data))]
		_, err := n.Store.Write(ctx, Change{Puts: map[string][]byte{chunkKey(content, m.Chunks): part}})
		if uncertain := (*UncertainError)(nil); errors.As(err, &uncertain) {
			return uncertain.Err // no node serves chunks without a manifest
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// readText reads the text of a generation.
func (n *Node) readText(ctx context.Context, m *Manifest) (string, error) {
	parts, err := n.Store.Read(ctx, blobs+m.Content+"/")
	if err != nil {
		return "", err
	}
	var data []byte
	for i := range m.Chunks {
		data = append(data, parts[chunkKey(m.Content, i)].Data...)
	}
	text, err := expand(m, data)
	if err != nil {
		return "", &invalidError{fmt.Errorf("generation %d cannot be read from etcd: %w", m.Number, err)}
	}
	return text, nil
}

// invalidError is the error of a generation that is stored and cannot be served, other than that of an etcd that does not answer.
type invalidError struct{ error }
