package identity

import (
	"fmt"
	"slices"
	"strings"

	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

const purposePrefix = "PURPOSE_"

// PurposeName is a purpose as people write it: "border-control".
func PurposeName(p recordv1.Purpose) string {
	return strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(p.String(), purposePrefix)), "_", "-")
}

// ParsePurpose returns the purpose of a name such as "border-control".
func ParsePurpose(name string) (recordv1.Purpose, error) {
	for _, p := range Purposes() {
		if PurposeName(p) == name {
			return p, nil
		}
	}
	names := make([]string, 0, len(Purposes()))
	for _, p := range Purposes() {
		names = append(names, PurposeName(p))
	}
	return 0, fmt.Errorf("purpose %q: give one of %s", name, strings.Join(names, ", "))
}

// Purposes returns all purposes, in the order of their numbers. They come from the treaty text
// itself, so that a purpose added there is known here.
func Purposes() []recordv1.Purpose {
	values := recordv1.Purpose(0).Descriptor().Values()
	all := make([]recordv1.Purpose, 0, values.Len())
	for i := range values.Len() {
		if n := values.Get(i).Number(); n != 0 {
			all = append(all, recordv1.Purpose(n))
		}
	}
	slices.Sort(all)
	return all
}
