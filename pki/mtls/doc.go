// Package mtls makes and checks every connection of a node: to its peers on the mesh listener,
// to its own people on the local one. It holds the rules of who may speak where:
//
//   - A chain is verified only against the roots of the bureau that its leaf names. Roots are
//     never pooled, so one country's authority cannot speak for another.
//   - The mesh listener admits only /node/... of a bureau that is trusted now, the local one
//     only /agency/... of the own bureau.
//   - The two listeners have separate intermediates, told apart by what everybody can see in
//     the chain: the mesh intermediate may issue for server and client authentication, the
//     local one for client authentication alone. A leaf of the one is refused where the other
//     is expected, whatever its path says.
//   - TLS 1.3 only, nothing is resumed, and what was true at the handshake is asked again for
//     every call: who has left the roster, was distrusted, was revoked or has expired is not
//     heard on a connection that is still open.
//
// It issues nothing (pki/authority does), knows no roster (it asks through Trust), and decides
// nothing about what an admitted caller may do (the gate does).
//
// One flow: a node dials BEL with MeshClient(leaf, trust, "BEL"); both sides verify in
// VerifyConnection; the connection enters both registries; for each call the caller's
// credentials and the server's interceptor look again; BEL is distrusted, the roster says so,
// Connections.Sweep closes the connection, and the next handshake fails.
package mtls
