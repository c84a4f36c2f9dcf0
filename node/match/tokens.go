package match

import (
	"strconv"
	"strings"

	"github.com/entente-mesh/entente/node/match/names"
	hitv1 "github.com/entente-mesh/entente/proto/gen/entente/hit/v1"
)

// Bounds of the words of a name as evidence, from hit.proto.
const (
	maxTokens    = 32
	maxTokenPart = 512
)

// tokenKinds are how two words met, and how that is told in words, in the order in which they are
// counted.
var tokenKinds = [...]struct {
	kind hitv1.TokenKind
	how  string
}{
	names.Same:            {hitv1.TokenKind_TOKEN_KIND_SAME, "same"},
	names.Spelling:        {hitv1.TokenKind_TOKEN_KIND_SPELLING, "spelling"},
	names.Sound:           {hitv1.TokenKind_TOKEN_KIND_SOUND, "sound"},
	names.Transliteration: {hitv1.TokenKind_TOKEN_KIND_TRANSLITERATION, "transliteration"},
	names.Initial:         {hitv1.TokenKind_TOKEN_KIND_INITIAL, "initial"},
	names.CutOff:          {hitv1.TokenKind_TOKEN_KIND_CUT_OFF, "cut off"},
	names.Joined:          {hitv1.TokenKind_TOKEN_KIND_JOINED, "joined"},
	names.NotListed:       {hitv1.TokenKind_TOKEN_KIND_NOT_RECORDED, "not recorded"},
	names.NotAsked:        {hitv1.TokenKind_TOKEN_KIND_NOT_ASKED, "not asked"},
}

// addTokens puts the words of a name into its evidence. What the words do not sum up to is what the
// name says as a whole.
func addTokens(e *hitv1.LocalEvidence, r *names.Ranked) {
	sum := 0.0
	for _, m := range r.Met[:min(len(r.Met), maxTokens)] {
		t := &hitv1.TokenPair{
			Kind: tokenKinds[m.Kind].kind, Asked: cut(m.Asked, maxTokenPart), Recorded: cut(m.Listed, maxTokenPart),
			Weight: float64(m.Weight) / scale, Moved: m.Moved,
		}
		sum += t.Weight
		e.Tokens = append(e.Tokens, t)
	}
	e.WholeWeight = e.GetWeight() - sum
}

// describe tells word by word how two names went together, and the same in numbers, without the
// words.
func describe(r *names.Ranked) (how, summary string) {
	var counts [len(tokenKinds)]int
	var parts []string
	for _, m := range r.Met {
		counts[m.Kind]++
		switch told := tokenKinds[m.Kind].how; m.Kind {
		case names.NotListed:
			parts = append(parts, told+" "+m.Asked)
		case names.NotAsked:
			parts = append(parts, told+" "+m.Listed)
		default:
			parts = append(parts, told+" "+m.Asked+"~"+m.Listed)
		}
	}
	same := r.Same && counts[names.Same] == len(r.Met)
	if same && !r.Swapped {
		return howSame, howSame
	}
	var told []string
	for kind, n := range counts {
		if n > 0 {
			told = append(told, strconv.Itoa(n)+" "+tokenKinds[kind].how)
		}
	}
	if same {
		told = []string{howSame}
	}
	if r.Swapped {
		parts, told = append(parts, "swapped"), append(told, "swapped")
	}
	return strings.Join(parts, ", "), strings.Join(told, ", ")
}
