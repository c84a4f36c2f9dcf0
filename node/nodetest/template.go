package nodetest

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"

	"github.com/entente-mesh/entente/node"
	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/signing"
)

// templates are the folders that node.Init has made in this process, by the name of the folder.
// To seal and unseal the offline keys is slow on purpose, and under the race detector it would
// be most of what the scenes do; so each name's folder is made once and copied for each mesh.
// What is shared by two meshes in that way is who the bureau is: its authority and its keys.
var templates sync.Map

// passphrase seals the offline keys of every bureau.
const passphrase = "correct horse battery staple"

// Addresses in a template, to be replaced in each copy.
const (
	templateMesh      = "127.0.0.1:1"
	templateLocal     = "127.0.0.1:2"
	templateAdvertise = "127.0.0.1:3"
)

type template struct {
	once     sync.Once
	err      error
	files    Folder
	result   node.InitResult
	governor *signing.Governor
}

type templateFile struct {
	mode    fs.FileMode
	folder  bool
	content []byte
}

// templateOf returns the folder of a name, made the first time it is asked for.
func templateOf(name string, bureau identity.Bureau) (*template, error) {
	kept, _ := templates.LoadOrStore(name, &template{})
	t := kept.(*template)
	t.once.Do(func() { t.err = t.make(bureau) })
	return t, t.err
}

func (t *template) make(bureau identity.Bureau) (err error) {
	parent, err := os.MkdirTemp("", "entente-nodetest-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(parent)) }()
	dir := filepath.Join(parent, "node")
	made, err := node.Init(context.Background(), node.InitOptions{
		Dir: dir, Bureau: bureau, Federation: Federation, Passphrase: []byte(passphrase),
		MeshListen: templateMesh, LocalListen: templateLocal, Advertise: templateAdvertise,
	})
	if err != nil {
		return err
	}
	t.result = *made
	if t.governor, err = node.Governor(made.Config, made.Governance, []byte(passphrase)); err != nil {
		return err
	}
	t.files, err = readFolder(dir)
	return err
}

// copyTo writes the folder anew, for a node at other addresses.
func (t *template) copyTo(dir, advertise string) (*node.InitResult, error) {
	result := t.result
	c := &result.Config
	c.Dir, result.Governance = dir, node.GovernanceFolder(dir)
	for _, listen := range []*string{&c.MeshListen, &c.LocalListen} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		*listen = l.Addr().String()
		defer l.Close() // both are held until both are chosen
	}
	if c.Advertise = advertise; advertise == "" {
		c.Advertise = c.MeshListen
	}
	for below, f := range t.files {
		path := filepath.Join(dir, below)
		if f.folder {
			if err := os.MkdirAll(path, f.mode); err != nil {
				return nil, err
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return nil, err
		}
		content := f.content
		if below == node.ConfigFile {
			for old, now := range map[string]string{templateMesh: c.MeshListen, templateLocal: c.LocalListen, templateAdvertise: c.Advertise} {
				content = bytes.ReplaceAll(content, []byte(" "+old+"\n"), []byte(" "+now+"\n"))
			}
		}
		if err := os.WriteFile(path, content, f.mode); err != nil {
			return nil, err
		}
	}
	return &result, nil
}
