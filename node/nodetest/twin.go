package nodetest

import (
	"io/fs"
	"net"
	"os"
	"path/filepath"
)

// Folder is a node's folder as it was at one moment: all that its operator has, keys, books and the
// log signer's memory.
type Folder map[string]templateFile // by path below the folder

// Keep takes a copy of the node's folder. The node must be stopped.
func (b *Bureau) Keep() Folder {
	b.t.Helper()
	if b.Node != nil {
		b.t.Fatalf("%s: a copy of a running node's folder is none", b.ID)
	}
	kept, err := readFolder(b.Dir)
	if err != nil {
		b.t.Fatalf("%s: keep the folder: %v", b.ID, err)
	}
	return kept
}

// Return puts the folder back to what it was: nothing that came since is left. The node must be
// stopped.
func (b *Bureau) Return(to Folder) {
	b.t.Helper()
	if b.Node != nil {
		b.t.Fatalf("%s: the folder of a running node is its own", b.ID)
	}
	if err := os.RemoveAll(b.Dir); err != nil {
		b.t.Fatalf("%s: return: %v", b.ID, err)
	}
	if err := to.write(b.Dir); err != nil {
		b.t.Fatalf("%s: return: %v", b.ID, err)
	}
}

// Twin is a second node of the bureau with the same keys and a folder of its own, at other
// listeners: what an operator runs who wants to show two logs. It is not started, and peers reach it
// once the bureau's tap is joined to its mesh listener.
func (b *Bureau) Twin(from Folder) *Bureau {
	b.t.Helper()
	twin := &Bureau{
		ID: b.ID, Dir: b.Dir + "-twin", Config: b.Config, Exchange: b.Exchange, Init: b.Init, Clock: b.Clock, Log: &Log{},
		t: b.t, setup: b.setup, governor: b.governor,
	}
	twin.Config.Dir = twin.Dir
	for _, listen := range []*string{&twin.Config.MeshListen, &twin.Config.LocalListen} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.t.Fatalf("%s: twin: %v", b.ID, err)
		}
		*listen = l.Addr().String()
		defer l.Close() // both are held until both are chosen
	}
	if err := from.write(twin.Dir); err != nil {
		b.t.Fatalf("%s: twin: %v", b.ID, err)
	}
	b.t.Cleanup(twin.close)
	return twin
}

func readFolder(dir string) (Folder, error) {
	kept := Folder{}
	return kept, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		below, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		f := templateFile{mode: info.Mode().Perm(), folder: d.IsDir()}
		if !d.IsDir() {
			if f.content, err = os.ReadFile(path); err != nil {
				return err
			}
		}
		kept[below] = f
		return nil
	})
}

func (k Folder) write(dir string) error {
	for below, f := range k {
		path := filepath.Join(dir, below)
		if f.folder {
			if err := os.MkdirAll(path, f.mode); err != nil {
				return err
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(path, f.content, f.mode); err != nil {
			return err
		}
	}
	return nil
}
