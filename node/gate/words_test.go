package gate_test

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/entente-mesh/entente/node/gate"
	hitv1 "github.com/entente-mesh/entente/proto/gen/entente/hit/v1"
)

// TestWordsOfANameGoAsPolicySays asks a bureau about a person whose hit tells each word of the name,
// under policies that disclose nothing of it, all, and less than all.
func TestWordsOfANameGoAsPolicySays(t *testing.T) {
	const disclose = "\n@id(\"persons-told\")\npermit (principal, action == Action::\"disclose\", resource);"
	const permit = ` permit (principal, action == Action::"answer", resource == Collection::"ESP/persons");`
	for name, c := range map[string]struct {
		annotations string
		gone, left  []string
	}{
		"a band":               {``, []string{"ZEROUALIX", "KARIMOV", "LONELY", "TOKEN_KIND", "0.61", "wholeWeight"}, nil},
		"whole evidence":       {`@evidence("full")`, nil, []string{"ZEROUALIX", "LONELY", "TOKEN_KIND_SOUND", "0.61", "wholeWeight"}},
		"whole, but the names": {`@evidence("full") @redact("person.names")`, []string{"ZEROUALIX", "LONELY", "TOKEN_KIND", "0.61", "wholeWeight", "Zeroualix"}, []string{"remarkable"}},
		"whole, but how":       {`@evidence("full") @redact("evidence")`, []string{"ZEROUALIX", "LONELY", "TOKEN_KIND", "0.61", "spelling"}, []string{"remarkable"}},
		"whole, but the sum":   {`@evidence("full") @redact("score")`, []string{"0.61", "0.77", "0.87", "wholeWeight"}, []string{"ZEROUALIX"}},
		"whole, but no person": {`@evidence("full") @redact("person")`, []string{"ZEROUALIX", "LONELY", "Zeroualix", "remarkable"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			g, _ := open(t, map[string]string{"words.cedar": `@id("persons-words") ` + c.annotations + permit + disclose})
			f := wanted("esp-1", everybody)
			f.Hit.Evidence[0].How = "sound KARIMOV~ZEROUALIX, not asked LONELY"
			f.Hit.Evidence[0].WholeWeight = 0.19
			f.Hit.Evidence[0].Tokens = []*hitv1.TokenPair{
				{Kind: hitv1.TokenKind_TOKEN_KIND_SOUND, Asked: "KARIMOV", Recorded: "ZEROUALIX", Weight: 0.61},
				{Kind: hitv1.TokenKind_TOKEN_KIND_NOT_ASKED, Recorded: "LONELY", Weight: -0.03},
			}
			a := answer(t, g, personAsk(), &holdings{persons: []gate.Found{f}})
			text, err := protojson.Marshal(a)
			if err != nil {
				t.Fatal(err)
			}
			if len(a.GetResults()[0].GetHits()) != 1 {
				t.Fatalf("answer %s", text)
			}
			for _, word := range c.gone {
				if strings.Contains(string(text), word) {
					t.Errorf("%q crossed the border: %s", word, text)
				}
			}
			for _, word := range c.left {
				if !strings.Contains(string(text), word) {
					t.Errorf("%q is missing: %s", word, text)
				}
			}
			if len(f.Hit.Evidence[0].GetTokens()) != 2 || f.Hit.Evidence[0].GetTokens()[0].GetRecorded() == "" {
				t.Error("the own hit was changed")
			}
		})
	}
}
