package policy

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"path"
	"text/template"

	"github.com/entente-mesh/entente/pki/identity"
)

//go:embed defaults
var defaults embed.FS

// CasesFile is the name under which WriteDefaults leaves the first cases for RunCases.
const CasesFile = "cases.yaml"

// Defaults returns the files that WriteDefaults writes, by name: the policies that a bureau
// begins with, the vocabulary and the first cases.
func Defaults(self identity.Bureau, fed identity.Federation) (map[string][]byte, error) {
	if _, err := identity.ParseBureau(string(self)); err != nil {
		return nil, err
	}
	if _, err := identity.ParseFederation(string(fed)); err != nil {
		return nil, err
	}
	other := identity.Bureau("BEL") // a counterpart for the cases: anybody but the own bureau
	if self == other {
		other = "ESP"
	}
	files := map[string][]byte{SchemaFile: schemaText}
	entries, err := fs.ReadDir(defaults, "defaults")
	if err != nil {
		return nil, fmt.Errorf("default policies: %w", err)
	}
	for _, entry := range entries {
		t, err := template.ParseFS(defaults, path.Join("defaults", entry.Name()))
		if err != nil {
			return nil, fmt.Errorf("default policies: %w", err)
		}
		var text bytes.Buffer
		if err := t.Execute(&text, struct {
			Self, Other identity.Bureau
			Federation  identity.Federation
		}{self, other, fed}); err != nil {
			return nil, fmt.Errorf("default policies: %w", err)
		}
		files[entry.Name()] = text.Bytes()
	}
	return files, nil
}
