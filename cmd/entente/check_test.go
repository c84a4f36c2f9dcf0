package main

import (
	"strings"
	"testing"
)

// TestTextThatIsNoUTF8IsNamed before it is sent: the wire would refuse it, and not say which it was.
func TestTextThatIsNoUTF8IsNamed(t *testing.T) {
	const latin1 = "Zerouali Andr\xe9"
	for flag, f := range map[string]checkFlags{
		"--name":          {name: latin1},
		"--justification": {name: "Zerouali", justification: latin1},
		"--officer":       {name: "Zerouali", officer: latin1},
		"--mrz":           {mrz: "P<" + latin1},
		"--document":      {document: latin1},
	} {
		f.purpose = "border-control"
		if _, err := f.request(); err == nil || !strings.HasPrefix(err.Error(), flag+" is no UTF-8: ") {
			t.Errorf("%s: %v", flag, err)
		}
		f.name, f.justification, f.officer, f.mrz, f.document = "Zerouali André", "", "", "", ""
		if _, err := f.request(); err != nil {
			t.Errorf("%s: %v", flag, err)
		}
	}
}
