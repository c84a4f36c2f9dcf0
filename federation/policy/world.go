package policy

import (
	"strings"

	"github.com/cedar-policy/cedar-go/types"

	"github.com/entente-mesh/entente/pki/identity"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// world holds the two entities of one request, who and what. Each is made when a policy first
// looks at more than its id, which most never do. Parents are given in full, up to the
// federation, so that "in" needs one look. A world is used by one decision and thrown away.
type world struct {
	set                 *Set
	principal, resource thing
}

// thing is an entity and what it is made of, according to its type.
type thing struct {
	uid    types.EntityUID
	made   bool
	entity types.Entity

	bureau     identity.Bureau // the one that it is, or is in
	federation identity.Federation
	agency     string             // of a client, of a requester
	role       string             // of a requester
	client     *identity.Identity // of a client
	collection string             // of a collection
	colour     string             // of an alert
	demand     recordv1.Action    // of an alert
	record     *disclosing        // of a record
}

// Get implements types.EntityGetter.
func (w *world) Get(id types.EntityUID) (types.Entity, bool) {
	for _, t := range [...]*thing{&w.principal, &w.resource} {
		if t.uid == id {
			if !t.made {
				t.entity, t.made = w.set.make(t), true
			}
			return t.entity, true
		}
	}
	return types.Entity{}, false
}

func bureauThing(b identity.Bureau, fed identity.Federation) thing {
	return thing{uid: bureauUID(b), bureau: b, federation: fed}
}

func clientThing(c *identity.Identity) thing {
	id := string(c.Bureau) + "/" + c.Agency + "/" + string(c.Role) + "/" + c.Name
	return thing{uid: uid(typeClient, id), bureau: c.Bureau, federation: c.Federation, agency: c.Agency, client: c}
}

func requesterThing(b identity.Bureau, fed identity.Federation, agency, role string) thing {
	id := string(b) + "/" + agency + "/" + role
	return thing{uid: uid(typeRequester, id), bureau: b, federation: fed, agency: agency, role: role}
}

func collectionThing(b identity.Bureau, fed identity.Federation, collection string) thing {
	return thing{uid: collectionUID(b, collection), bureau: b, federation: fed, collection: collection}
}

func alertThing(b identity.Bureau, fed identity.Federation, colour string, demand recordv1.Action) thing {
	return thing{uid: uid(typeAlert, string(b)+"/"+colour), bureau: b, federation: fed, colour: colour, demand: demand}
}

func recordThing(f *disclosing) thing {
	id := string(f.Self) + "/" + f.Collection + "/" + f.Record.GetRecordId()
	return thing{uid: uid(typeRecord, id), bureau: f.Self, federation: f.Federation, record: f}
}

// make makes the entity of a thing, with every attribute that the vocabulary gives its type.
func (s *Set) make(t *thing) types.Entity {
	e := types.Entity{UID: t.uid, Parents: s.parentsOf(t)}
	switch t.uid.Type {
	case typeClient:
		e.Attributes = types.NewRecord(types.RecordMap{
			"role":     uid(typeRole, string(t.client.Role)),
			"purposes": purposeSet(t.client.Purposes),
		})
	case typeRequester:
		var known bool
		if e.Attributes, known = requesterAttributes[t.role]; !known {
			e.Attributes = types.NewRecord(types.RecordMap{"role": uid(typeRole, t.role)})
		}
	case typeCollection:
		e.Attributes = types.NewRecord(types.RecordMap{
			"holds":  uid(typeSubject, t.collection),
			"bureau": types.String(t.bureau),
		})
	case typeAlert:
		e.Attributes = types.NewRecord(types.RecordMap{
			"colour": uid(typeColour, t.colour),
			"demand": demandUID(t.demand),
		})
	case typeRecord:
		e.Attributes = wholly("resource", t.record)
	}
	return e
}

// parentsKey is all that the parents of a thing depend on, but for the communities.
type parentsKey struct {
	kind               types.EntityType
	bureau             identity.Bureau
	federation         identity.Federation
	agency, collection string
}

// parentsOf are the parents of a thing. They are the same for all records of a collection, and all
// clients of an agency.
func (s *Set) parentsOf(t *thing) types.EntityUIDSet {
	key := parentsKey{kind: t.uid.Type, bureau: t.bureau, federation: t.federation, agency: t.agency}
	if t.record != nil {
		key.collection = t.record.Collection
	}
	if parents, ok := s.parents.find(key); ok {
		return parents
	}
	var room [8]types.EntityUID
	above := room[:0]
	if t.federation != "" {
		above = append(above, uid(typeFederation, string(t.federation)))
	}
	for _, group := range s.communities[t.bureau] {
		above = append(above, uid(typeCommunity, group))
	}
	if key.kind != typeBureau {
		above = append(above, bureauUID(t.bureau))
	}
	switch key.kind {
	case typeClient, typeRequester:
		above = append(above, uid(typeAgency, string(t.bureau)+"/"+t.agency))
	case typeRecord:
		above = append(above, collectionUID(t.bureau, key.collection))
	}
	parents := types.NewEntityUIDSet(above...)
	s.parents.keep(key, parents)
	return parents
}

// requesterAttributes are those of every known role: to make a record of attributes is the
// dearest part of a decision, and these never differ.
var requesterAttributes = func() map[string]types.Record {
	all := map[string]types.Record{}
	for _, role := range identity.Roles() {
		all[string(role)] = types.NewRecord(types.RecordMap{"role": uid(typeRole, string(role))})
	}
	return all
}()

// validSegment says whether the name of an agency, a role or a client can be a part of an
// entity's id: a stranger chooses it, and must not be taken for another by a stroke in it.
func validSegment(s string) bool {
	return len(s) <= 64 && !strings.ContainsAny(s, "/\x00")
}

// noExpiry is the moment at which a record expires that has no expiry: policies compare it, so
// it must be one. entente.cedarschema says so.
const noExpiry = 253402214400000 // milliseconds: 9999-12-31T00:00:00Z
