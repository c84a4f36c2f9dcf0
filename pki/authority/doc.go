// Package authority is a bureau's own certificate authority: smallstep's, embedded as a library,
// held to what a bureau of a federation may issue.
//
// A root, whose key is encrypted and lies in a folder of its own, to be taken off the machine,
// signs two intermediates whose keys the node holds: mesh, for the leaves of the bureau's nodes
// (server and client authentication), and local, for those of its people and systems (client
// authentication alone). Peers see the difference in the chain, so that neither can stand in
// for the other. The node presents its one leaf on both of its listeners; the local
// intermediate issues no server's.
//
// Names are restricted three times over: by X.509 name constraints in the root and in both
// intermediates, which hold also when an intermediate's key is stolen; by smallstep's policy;
// and here, where a leaf is made from an identity.Identity and nothing of the request but its
// key is taken over.
//
// It does not verify peers (pki/mtls does) and decides nothing about who should get a
// certificate: its callers are init, the node itself, and the enrolment service behind the gate.
//
// One flow: init calls Create once; the node calls Open, and its mtls.Renewer calls IssueNode at
// the start if the last leaf has run out, and whenever three fifths of its life are over; an
// officer's command line sends a request to the node, which calls RenewClient.
package authority
