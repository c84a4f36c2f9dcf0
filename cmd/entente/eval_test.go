package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// interrupted ends a measurement when it says that it asks, and holds it there.
type interrupted struct {
	end  context.CancelFunc
	once sync.Once
	hold chan struct{}
}

func (w *interrupted) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte("asking for")) {
		w.once.Do(w.end)
		<-w.hold
	}
	return len(b), nil
}

// TestEvalEndsWhenItIsInterrupted, not when everybody has been asked.
func TestEvalEndsWhenItIsInterrupted(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ctx, cancel := context.WithCancel(t.Context())
	w := &interrupted{end: cancel, hold: make(chan struct{})}
	defer close(w.hold)
	out := &strings.Builder{}
	a := &app{in: strings.NewReader(""), out: out, err: w}
	err := a.evalNames(ctx, evalFlags{
		persons: file("persons", `{"id":"a","primary":"Orlan Veskarin"}`), queries: file("queries", `{"set":"x","q":"VESKARIN","id":"a"}`), evidence: "name",
	})
	if !errors.Is(err, context.Canceled) || out.Len() > 0 {
		t.Errorf("%v, printed %q", err, out)
	}
}
