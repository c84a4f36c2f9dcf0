package people

import "fmt"

// TokenRole is what a word does in a name.
type TokenRole uint8

// The roles of words. What no table knows is Ordinary.
const (
	// Ordinary is a name.
	Ordinary TokenRole = iota
	// Particle joins names and is left out or written onto its neighbour at will: al, de, van.
	Particle
	// Honorific is a title, a rank, a trade, a pilgrim's word, a mark of generation: dr, hajji, jr.
	Honorific
	// Kunya begins a name that says whose parent somebody is, often a nom de guerre: abu, umm.
	Kunya
	// PatronymicMarker says that the next word, or the one before, is a parent's name: ibn, oglu.
	PatronymicMarker
)

func (r TokenRole) String() string {
	switch r {
	case Particle:
		return "particle"
	case Honorific:
		return "honorific"
	case Kunya:
		return "kunya"
	case PatronymicMarker:
		return "patronymic marker"
	}
	return "ordinary"
}

type role struct {
	role      TokenRole
	certainty float32
}

// Role returns what a word most likely does in a name.
func Role(token string) TokenRole {
	r, _ := RoleOf(token)
	return r
}

// RoleOf returns what a word most likely does in a name, and the share of its bearers with whom it
// does: SAN is a particle in most names and a given name in some.
func RoleOf(token string) (TokenRole, float32) {
	r, ok := load().roles[Fold(token)]
	if !ok {
		return Ordinary, 1
	}
	return r.role, r.certainty
}

// readRoles reads rows of role, certainty and words.
func readRoles(k *knowledge) error {
	rows, err := readTable("tables/roles.tsv")
	if err != nil {
		return err
	}
	byName := map[string]TokenRole{}
	for r := Particle; r <= PatronymicMarker; r++ {
		byName[r.String()] = r
	}
	k.roles = map[string]role{}
	for _, r := range rows {
		is, ok := byName[r.cell(0)]
		if !ok {
			return fmt.Errorf("%s: %q is no role", r.at, r.cell(0))
		}
		certainty, err := percent(r, 1)
		if err != nil {
			return err
		}
		words, err := expand(r.cell(2))
		if err != nil {
			return fmt.Errorf("%s: %w", r.at, err)
		}
		for _, w := range words {
			if !folded(w) {
				return fmt.Errorf("%s: %q is not folded", r.at, w)
			}
			if _, twice := k.roles[w]; twice {
				return fmt.Errorf("%s: %q has a role already", r.at, w)
			}
			k.roles[w] = role{is, float32(certainty)}
		}
	}
	return nil
}
