package unlist

import (
	"fmt"

	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// measure is what the Council decided for one of its lists.
type measure struct {
	resolutions string
	// persons and entities are the measures on either, in the Council's words.
	persons, entities string
}

// measures are the lists by UN_LIST_TYPE, as of the consolidated list of February 2026.
var measures = map[string]measure{
	"Al-Qaida":   {"resolutions 1267 (1999), 1989 (2011) and 2253 (2015)", "assets freeze, travel ban and arms embargo", "assets freeze and arms embargo"},
	"Taliban":    {"resolution 1988 (2011)", "assets freeze, travel ban and arms embargo", "assets freeze and arms embargo"},
	"DPRK":       {"resolution 1718 (2006)", "assets freeze and travel ban", "assets freeze"},
	"Iran":       {"resolution 1737 (2006)", "assets freeze, and a ban or the notification of travel as the annex that names the person says", "assets freeze"},
	"Iraq":       {"resolutions 1483 (2003) and 1518 (2003)", "assets freeze; no travel ban", "assets freeze"},
	"DRC":        {"resolution 1533 (2004)", "assets freeze and travel ban", "assets freeze"},
	"Libya":      {"resolution 1970 (2011)", "travel ban, assets freeze, or both, as the entry says", "assets freeze or other measures, as the entry says"},
	"Somalia":    {"resolutions 1844 (2008) and 2713 (2023)", "assets freeze, travel ban and targeted arms embargo", "assets freeze and targeted arms embargo"},
	"CAR":        {"resolutions 2127 (2013) and 2745 (2024)", "assets freeze and travel ban", "assets freeze"},
	"GB":         {"resolution 2048 (2012)", "travel ban; no assets freeze", "the measures that the entry says"},
	"Yemen":      {"resolutions 2140 (2014) and 2216 (2015)", "assets freeze and travel ban, for some a targeted arms embargo", "assets freeze, for some a targeted arms embargo"},
	"Haiti":      {"resolution 2653 (2022)", "assets freeze, travel ban and targeted arms embargo", "assets freeze and targeted arms embargo"},
	"Sudan":      {"resolution 1591 (2005)", "assets freeze and travel ban", "assets freeze"},
	"SouthSudan": {"resolution 2206 (2015)", "assets freeze and travel ban", "assets freeze"},
}

// legalBasis names the resolutions behind a list.
func legalBasis(listType string) string {
	if m, ok := measures[listType]; ok {
		return "United Nations Security Council " + m.resolutions
	}
	return "A decision of the United Nations Security Council"
}

// action is what is asked of who finds a listed person: to inform. Not to refuse entry, though
// most lists hold a travel ban: some do not, a state need not refuse its own nationals, and a
// committee may have permitted the journey; that is for the competent authority to know and for
// no list to order. The text says which measures the list holds, for an officer who has to tell
// that authority.
func action(listType string, entity bool) (recordv1.Action, []*recordv1.LocalText) {
	what := "see the entry for its measures"
	if m, ok := measures[listType]; ok {
		held := m.persons
		if entity {
			held = m.entities
		}
		what = fmt.Sprintf("measures of this list (%s): %s", m.resolutions, held)
	}
	text := "Listed by the United Nations Security Council; " + what +
		". The listing is no arrest warrant. Compare the person with the whole entry, look for exemptions, and apply the measures as your own law says."
	return recordv1.Action_ACTION_INFORM, []*recordv1.LocalText{{Language: "en", Text: text}}
}
