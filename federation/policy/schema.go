package policy

import (
	_ "embed"
	"fmt"
	"strings"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/schema"
	"github.com/cedar-policy/cedar-go/x/exp/schema/resolved"

	"github.com/entente-mesh/entente/pki/identity"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// SchemaVersion is the version of the vocabulary. It changes when a policy that was good
// before would be refused, or would mean something else.
const SchemaVersion = 1

// SchemaFile is the name under which a bureau's folder has the vocabulary for reading.
const SchemaFile = "entente.cedarschema"

//go:embed entente.cedarschema
var schemaText []byte

// Schema is the text of the vocabulary that policies are held against.
func Schema() string { return string(schemaText) }

// resolveSchema parses the embedded vocabulary.
func resolveSchema() (*resolved.Schema, error) {
	var s schema.Schema
	s.SetFilename(SchemaFile)
	if err := s.UnmarshalCedar(schemaText); err != nil {
		return nil, fmt.Errorf("policy vocabulary: %w", err)
	}
	r, err := s.Resolve()
	if err != nil {
		return nil, fmt.Errorf("policy vocabulary: %w", err)
	}
	return r, nil
}

// The actions of the vocabulary.
const (
	actionCheck      = "check"
	actionAsk        = "ask"
	actionAnswer     = "answer"
	actionDisclose   = "disclose"
	actionPoint      = "point"
	actionPush       = "push"
	actionAccept     = "accept"
	actionAdminister = "administer"
)

// The entity types of the vocabulary that the code builds or checks.
const (
	typeFederation cedar.EntityType = "Federation"
	typeCommunity  cedar.EntityType = "Community"
	typeBureau     cedar.EntityType = "Bureau"
	typeAgency     cedar.EntityType = "Agency"
	typeClient     cedar.EntityType = "Client"
	typeRequester  cedar.EntityType = "Requester"
	typeCollection cedar.EntityType = "Collection"
	typeRecord     cedar.EntityType = "Record"
	typeAlert      cedar.EntityType = "Alert"
	typeAction     cedar.EntityType = "Action"
	typePurpose    cedar.EntityType = "Purpose"
	typeRole       cedar.EntityType = "Role"
	typeSubject    cedar.EntityType = "Subject"
	typeOperation  cedar.EntityType = "Operation"
	typeMode       cedar.EntityType = "Mode"
	typeColour     cedar.EntityType = "Colour"
)

// The collections that the vocabulary knows (its type Subject).
const (
	CollectionPersons   = "persons"
	CollectionDocuments = "documents"
)

// Collections returns the collections that policies speak of.
func Collections() []string { return []string{CollectionDocuments, CollectionPersons} }

// The sharing modes as policies and permits name them.
const (
	ModeAsk     = "ask"
	ModePointer = "pointer"
	ModePush    = "push"
	ModeAlert   = "alert"
)

// The operations that AdministerFacts names, as the vocabulary's type Operation lists them.
const (
	OperationReadStatus    = "read-status"
	OperationReadPeers     = "read-peers"
	OperationDistrustPeer  = "distrust-peer"
	OperationTrustPeer     = "trust-peer"
	OperationInstallRoster = "install-roster"
	OperationReloadPolicy  = "reload-policy"
	OperationReadRecords   = "read-records"
	OperationCreateRecord  = "create-record"
	OperationImportRecords = "import-records"
	OperationDeleteRecord  = "delete-record"
	OperationEnrolClient   = "enrol-client"
	OperationRevokeClient  = "revoke-client"
	OperationEraseRecord   = "erase-record"
	OperationFindCopies    = "find-copies"
	OperationReadBooks     = "read-books"
	OperationUnmaskOfficer = "unmask-officer"
	OperationReadQuotas    = "read-quotas"
	OperationSetQuota      = "set-quota"
	OperationClearAlarm    = "clear-alarm"
	OperationReadActs      = "read-acts"
	OperationApproveAct    = "approve-act"
	OperationReadClients   = "read-clients"
	OperationReadPoint     = "read-operating-point"
	OperationSetPoint      = "set-operating-point"
)

// Operations returns the operations.
func Operations() []string {
	return []string{
		OperationReadStatus, OperationReadPeers, OperationDistrustPeer, OperationTrustPeer,
		OperationInstallRoster, OperationReloadPolicy, OperationReadRecords,
		OperationCreateRecord, OperationImportRecords, OperationDeleteRecord,
		OperationEnrolClient, OperationRevokeClient,
		OperationEraseRecord, OperationFindCopies, OperationReadBooks, OperationUnmaskOfficer,
		OperationReadQuotas, OperationSetQuota, OperationClearAlarm, OperationReadActs, OperationApproveAct,
		OperationReadClients, OperationReadPoint, OperationSetPoint,
	}
}

// CounterPurposes returns the purposes of a counter where somebody waits with a document in
// hand: those for which a permit for everybody is meant.
func CounterPurposes() []recordv1.Purpose {
	return []recordv1.Purpose{
		recordv1.Purpose_PURPOSE_BORDER_CONTROL,
		recordv1.Purpose_PURPOSE_POLICE_CHECK,
		recordv1.Purpose_PURPOSE_VISA,
		recordv1.Purpose_PURPOSE_CARRIER,
	}
}

// enumName is an enumeration's value as policies write it: AUDIENCE_MODE_ALL_PERMITTED with
// the prefix AUDIENCE_MODE_ is "all-permitted".
func enumName(value fmt.Stringer, prefix string) string {
	return strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(value.String(), prefix)), "_", "-")
}

func uid(t cedar.EntityType, id string) cedar.EntityUID {
	return cedar.NewEntityUID(t, cedar.String(id))
}

func bureauUID(b identity.Bureau) cedar.EntityUID { return uid(typeBureau, string(b)) }

func collectionUID(b identity.Bureau, collection string) cedar.EntityUID {
	return uid(typeCollection, string(b)+"/"+collection)
}

// purposeUID returns the entity of a purpose; false for one that is not said or not known.
func purposeUID(p recordv1.Purpose) (types.EntityUID, bool) {
	e, known := purposeUIDs[p]
	return e, known
}

// namedPurposeUID returns the entity of any purpose. One that this version does not know keeps
// its number as its name: no policy can name it.
func namedPurposeUID(p recordv1.Purpose) types.EntityUID {
	if e, known := purposeUIDs[p]; known {
		return e
	}
	return uid(typePurpose, identity.PurposeName(p))
}

// purposeUIDs are the entities of all purposes that are known.
var purposeUIDs = func() map[recordv1.Purpose]types.EntityUID {
	all := map[recordv1.Purpose]types.EntityUID{}
	for _, p := range identity.Purposes() {
		all[p] = uid(typePurpose, identity.PurposeName(p))
	}
	return all
}()
